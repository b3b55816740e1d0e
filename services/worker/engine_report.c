#include "services/worker/engine_report.h"

#include "common/file.h"
#include "common/scoped.h"
#include "common/status.h"
#include "proto/codec.h"

#include <errno.h>

static int keep(void *data, const char *bytes, size_t size)
{
    struct report_buffer *self = data;
    if (!self->broken && msgpack_sbuffer_write(&self->bytes, bytes, size) != 0)
        self->broken = true;
    return self->broken ? -1 : 0;
}

void report_buffer_init(struct report_buffer *self)
{
    self->broken = false;
    msgpack_sbuffer_init(&self->bytes);
    msgpack_packer_init(&self->packer, self, keep);
}

void report_buffer_clear(struct report_buffer *self)
{
    msgpack_sbuffer_destroy(&self->bytes);
}

static bool grow(char **bytes, size_t *room)
{
    char *more = realloc(*bytes, *room * 2);
    if (!more)
        return false;
    *bytes = more;
    *room *= 2;
    return true;
}

int report_read_all(int fd, size_t size_max, void **ret_bytes, struct slice *ret_all)
{
    size_t size = 0, room = 4096;
    scoped_text char *bytes = malloc(room);
    if (!bytes)
        return -ENOMEM;

    for (;;) {
        ssize_t n = read(fd, bytes + size, room - size);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            break;
        size += n > 0 ? (size_t)n : 0;
        if (size > size_max)
            return STATUS_TOO_LARGE;
        if (size == room && !grow(&bytes, &room))
            return -ENOMEM;
    }
    *ret_all = slice_make(bytes, size);
    *ret_bytes = bytes;
    bytes = NULL; /* the caller's now */
    return 0;
}

static int send_whole(int fd, struct report_buffer *message)
{
    if (message->broken)
        return -ENOMEM;
    return file_write(fd, slice_make(message->bytes.data, message->bytes.size));
}

int report_progress(int fd, double progress)
{
    scoped_in(report_buffer) message;
    report_buffer_init(&message);
    msgpack_pack_map(&message.packer, 1);
    pack_text(&message.packer, "progress");
    msgpack_pack_double(&message.packer, progress);
    return send_whole(fd, &message);
}

int report_checkpoint(int fd, struct slice value)
{
    scoped_in(report_buffer) out;
    report_buffer_init(&out);
    msgpack_pack_map(&out.packer, 1);
    pack_text(&out.packer, "checkpoint");
    pack_raw(&out.packer, value);
    return send_whole(fd, &out);
}

int report_retry(int fd, const char *message, int64_t after_ms)
{
    scoped_in(report_buffer) out;
    report_buffer_init(&out);
    msgpack_pack_map(&out.packer, 1);
    pack_text(&out.packer, "retry");
    msgpack_pack_map(&out.packer, after_ms < 0 ? 1 : 2);
    pack_text(&out.packer, "message");
    pack_text(&out.packer, message);
    if (after_ms >= 0) {
        pack_text(&out.packer, "after_ms");
        msgpack_pack_int64(&out.packer, after_ms);
    }
    return send_whole(fd, &out);
}

int report_snooze(int fd, int64_t after_ms)
{
    scoped_in(report_buffer) out;
    report_buffer_init(&out);
    msgpack_pack_map(&out.packer, 1);
    pack_text(&out.packer, "snooze");
    msgpack_pack_map(&out.packer, 1);
    pack_text(&out.packer, "after_ms");
    msgpack_pack_int64(&out.packer, after_ms);
    return send_whole(fd, &out);
}

int report_error(int fd, const char *code, const char *message, const char *field)
{
    scoped_in(report_buffer) out;
    report_buffer_init(&out);
    msgpack_pack_map(&out.packer, 1);
    pack_text(&out.packer, "error");
    msgpack_pack_map(&out.packer, field[0] ? 3 : 2);
    pack_text(&out.packer, "code");
    pack_text(&out.packer, code);
    pack_text(&out.packer, "message");
    pack_text(&out.packer, message);
    if (field[0]) {
        pack_text(&out.packer, "field");
        pack_text(&out.packer, field);
    }
    return send_whole(fd, &out);
}

static void inside(msgpack_packer *pk, const struct report_part *part)
{
    if (part->count > 0)
        pack_raw(pk, slice_make(part->inside->bytes.data, part->inside->bytes.size));
}

int report_output(int fd, bool skipped, const struct report_part *output,
                  const struct report_part *files)
{
    scoped_in(report_buffer) message;
    report_buffer_init(&message);
    msgpack_pack_map(&message.packer, skipped ? 1 : 2);
    pack_text(&message.packer, skipped ? "skipped" : "output");
    msgpack_pack_map(&message.packer, output->count);
    inside(&message.packer, output);
    if (!skipped) {
        pack_text(&message.packer, "files");
        msgpack_pack_array(&message.packer, files->count);
        inside(&message.packer, files);
    }
    return send_whole(fd, &message);
}
