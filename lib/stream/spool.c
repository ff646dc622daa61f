// A pipe as a file: its bytes in a scratch file, by splice(2) where the system can, so that they are not even seen
// here.
#include "base/error.h"
#include "base/file.h"
#include "stream/reader.h"

#include <inttypes.h>

enum { PIECE = 1 << 20 };

struct spool {
    int fd;
    uint64_t size;             // bytes that it holds
    uint64_t frame, sequences; // where the next frame is to stand; those in the frames before it
};

// The sequences of the frames whose headers have arrived. Where one is bad, reading it is going to tell.
static int count_arrived(struct spool *p) {
    while (p->frame <= p->size && p->size - p->frame >= FRAME_HEADER_SIZE) {
        uint8_t bytes[FRAME_HEADER_SIZE];
        struct frame_header header;
        size_t got;
        int code = input_read_at(p->fd, p->frame, bytes, sizeof bytes, &got);
        if (code != OK)
            return code;
        bool good = frame_header_decode(&header, bytes) == OK && !header.end;
        p->sequences += good ? header.records : 0;
        p->frame = good ? p->frame + frame_length(&header) : UINT64_MAX;
    }
    return OK;
}

static int copy(struct stream *s, struct spool *p, void (*tell)(void *context, uint64_t sequences),
                void *context) {
    // the header is the one unit that was taken, and still lies in the source's buffer
    int code = descriptor_write_at(p->fd, 0, s->source.buffer, (size_t)s->first_frame);
    size_t got = 1;
    while (code == OK && got > 0) {
        code = input_move_some(s->source.fd, p->fd, p->size, PIECE, &got);
        p->size += got;
        if (code == OK && tell && (code = count_arrived(p)) == OK)
            tell(context, p->sequences);
    }
    return code == OK ? OK : error_prefix(code, "%s", s->name);
}

int stream_spool(struct stream *s, void (*tell)(void *context, uint64_t sequences), void *context) {
    struct spool p = {.fd = -1, .size = s->first_frame, .frame = s->first_frame};
    if (s->seekable)
        return OK;
    int code = scratch_open(&p.fd);
    if (code != OK)
        return code;
    code = copy(s, &p, tell, context);
    if (code != OK) {
        input_close(p.fd);
        return code;
    }
    input_close(s->source.fd);
    source_release(&s->source);
    s->source.fd = p.fd;
    s->spooled = true;
    code = stream_map(s, p.size);
    return code == OK ? stream_open_end(s) : code;
}
