/* Golden frames of another implementation (tests/vectors/make.py): read, compared by writing them
 * again, and the hostile ones refused. */
#include "tests/unit/test.h"

#include "common/scoped.h"
#include "common/status.h"
#include "proto/codec.h"
#include "proto/envelope.h"
#include "proto/message.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

enum { BYTES_MAX = 65536, WORD = 64 };

struct vector {
    const char *path;
    bool has_header, has_body;
    char layout[WORD];
    bool listed; /* the body is an array */
    char field[WORD];
    uint8_t header[BYTES_MAX], body[BYTES_MAX], again[BYTES_MAX];
    size_t header_size, body_size, again_size;
};

static struct vector vector;
static char line[2 * BYTES_MAX + 2 * WORD];

static uint8_t digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c) : NULL;
    assert_non_null(at);
    return (uint8_t)(at - digits);
}

static size_t unhex(const char *text, uint8_t *bytes)
{
    size_t size = strlen(text) / 2;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
    return size;
}

static void read_line(struct vector *v, const char *word, char *value)
{
    if (strcmp(word, "header") == 0) {
        v->has_header = true;
        v->header_size = unhex(value, v->header);
    } else if (strcmp(word, "again") == 0) {
        v->again_size = unhex(value, v->again);
    } else if (strcmp(word, "field") == 0) {
        assert_true(slice_copy(slice_of(value), v->field, sizeof v->field));
    } else {
        size_t name = strcspn(value, " [");
        assert_string_equal(word, "body");
        v->has_body = true;
        v->listed = value[name] == '[';
        v->body_size = unhex(value + strcspn(value, " ") + 1, v->body);
        assert_true(slice_copy(slice_make(value, name), v->layout, sizeof v->layout));
    }
}

static void read_vector(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    memset(&vector, 0, sizeof vector);
    vector.path = path;
    while (fgets(line, sizeof line, file)) {
        char *value = strchr(line, ' ');
        line[strcspn(line, "\n")] = '\0';
        assert_non_null(value);
        *value++ = '\0';
        read_line(&vector, line, value);
    }
    fclose(file);
}

static const struct message_layout *layout_of(const char *name)
{
    for (size_t i = 0; message_layouts[i]; i++)
        if (strcmp(message_layouts[i]->name, name) == 0)
            return message_layouts[i];
    fail_msg("no layout %s", name);
    return NULL;
}

static void check_header(const struct vector *v)
{
    struct header header;
    uint8_t bytes[WIRE_HEADER_MAX];
    size_t size = 0;
    assert_int_equal(header_decode(&header, slice_make(v->header, v->header_size)), 0);
    assert_true(header_encode(&header, bytes, &size));
    assert_int_equal(size, v->header_size);
    assert_memory_equal(bytes, v->header, size);
}

static void check_one(const struct message_layout *layout, struct slice map, msgpack_packer *pk)
{
    _Alignas(16) uint8_t m[1024];
    const char *field = "";
    assert_true(layout->size <= sizeof m);
    if (message_decode(layout, map, m, &field))
        fail_msg("%s: field %s", vector.path, field);
    message_encode(layout, m, pk);
}

static void check_body(const struct vector *v)
{
    const struct message_layout *layout = layout_of(v->layout);
    struct slice body = slice_make(v->body, v->body_size);
    struct reader reader = reader_of(body);
    struct slice item;
    uint32_t count = 1;
    msgpack_sbuffer out;
    msgpack_packer pk;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
    assert_int_equal(codec_check(body), 0);
    if (v->listed) {
        assert_true(codec_array(body, &reader, &count));
        msgpack_pack_array(&pk, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        assert_true(reader_value(&reader, &item));
        check_one(layout, item, &pk);
    }
    const uint8_t *wanted = v->again_size ? v->again : v->body;
    size_t size = v->again_size ? v->again_size : v->body_size;
    if (out.size != size || memcmp(out.data, wanted, size) != 0)
        fail_msg("%s: written again it differs", v->path);
    msgpack_sbuffer_destroy(&out);
}

static void for_each(const char *pattern, size_t least, void (*check)(void))
{
    glob_t found;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= least);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        read_vector(found.gl_pathv[i]);
        check();
    }
    globfree(&found);
}

static void good(void)
{
    if (vector.has_header)
        check_header(&vector);
    if (vector.has_body)
        check_body(&vector);
}

static void hostile(void)
{
    struct header header;
    struct slice body = slice_make(vector.body, vector.body_size);
    _Alignas(16) uint8_t m[1024];
    const char *field = "";
    if (vector.has_header) {
        if (header_decode(&header, slice_make(vector.header, vector.header_size)) !=
            STATUS_MALFORMED)
            fail_msg("%s: accepted", vector.path);
    } else if (!*vector.field) {
        if (codec_check(body) != STATUS_MALFORMED)
            fail_msg("%s: accepted", vector.path);
    } else {
        assert_int_equal(codec_check(body), 0);
        assert_int_equal(message_decode(layout_of(vector.layout), body, m, &field), STATUS_INVALID);
        assert_string_equal(field, vector.field);
    }
}

TEST(frames_of_another_implementation_are_read_and_written_alike)
{
    UNUSED;
    for_each(VECTORS "/good/*.hex", 35, good);
}

TEST(hostile_frames_are_refused)
{
    UNUSED;
    for_each(VECTORS "/hostile/*.hex", 40, hostile);
}

/* A layout that has no golden frame could change unseen. */
TEST(every_message_has_a_golden_frame)
{
    UNUSED;
    glob_t found;
    assert_int_equal(glob(VECTORS "/good/*.hex", 0, NULL, &found), 0);
    for (size_t i = 0; message_layouts[i]; i++) {
        bool seen = false;
        for (size_t k = 0; k < found.gl_pathc && !seen; k++) {
            read_vector(found.gl_pathv[k]);
            seen = strcmp(vector.layout, message_layouts[i]->name) == 0;
        }
        if (!seen)
            fail_msg("no golden frame of %s", message_layouts[i]->name);
    }
    globfree(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(frames_of_another_implementation_are_read_and_written_alike),
        HOLDS(hostile_frames_are_refused),
        HOLDS(every_message_has_a_golden_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
