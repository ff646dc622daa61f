// `git describe` of the build, as --version shows it and report.json records it.
#ifndef TACIT_BASE_VERSION_H
#define TACIT_BASE_VERSION_H

extern const char *const tacit_version;

#endif
