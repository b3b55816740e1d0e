#pragma once
/* What the engine program says on its descriptor and hears on its input: whole msgpack values. */
#include "common/slice.h"

#include <msgpack.h>

/* Packed bytes that grow; broken stays true once memory ran out. Not to be moved: the packer points
 * here. */
struct report_buffer {
    msgpack_sbuffer bytes;
    msgpack_packer packer;
    bool broken;
};
void report_buffer_init(struct report_buffer *self);
void report_buffer_clear(struct report_buffer *self);

/* The inside of a map or an array. */
struct report_part {
    uint32_t count;
    const struct report_buffer *inside;
};

/* All until the end of fd, at most size_max bytes; *ret_bytes is the caller's to free. 0,
 * STATUS_TOO_LARGE or -errno. */
int report_read_all(int fd, size_t size_max, void **ret_bytes, struct slice *ret_all);

/* Each writes one message whole: 0 or -errno. field may be "". */
int report_progress(int fd, double progress);
int report_checkpoint(int fd, struct slice value);
int report_error(int fd, const char *code, const char *message, const char *field);
/* after_ms < 0: not said; else when another attempt makes sense. */
int report_retry(int fd, const char *message, int64_t after_ms);
int report_snooze(int fd, int64_t after_ms);
int report_output(int fd, bool skipped, const struct report_part *output,
                  const struct report_part *files);
