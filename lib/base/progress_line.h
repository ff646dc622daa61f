// For lib/base alone: messages clear the progress line before they are printed.
#ifndef TACIT_BASE_PROGRESS_LINE_H
#define TACIT_BASE_PROGRESS_LINE_H

void progress_clear_line(void); // nothing where no line is drawn

#endif
