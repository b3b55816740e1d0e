#include "services/front/multipart.h"

#include "tests/unit/test.h"

#include <stdlib.h>

#define TYPE "multipart/form-data; boundary=XX"
#define FILE_PART                                                                                 \
    "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp4\"\r\nContent-Type: " \
    "video/mp4\r\n\r\n"

/* What was read: name=content; of each part. */
struct read {
    char text[4096];
    size_t size;
    const char *wrong;
    bool whole;
};

static void add(struct read *self, struct slice bytes)
{
    CHECK(self->size + bytes.size < sizeof self->text);
    if (!bytes.data)
        return;
    memcpy(self->text + self->size, bytes.data, bytes.size);
    self->size += bytes.size;
    self->text[self->size] = '\0';
}

/* In pieces of so many bytes, of which data is handed out in pieces of data_max. */
static void read_pieces(struct slice body, size_t piece, size_t data_max, struct read *ret_read)
{
    struct multipart *self = malloc(sizeof *self);
    struct read read = { .text = "" };
    CHECK(self && multipart_init(self, TYPE));
    for (size_t at = 0; at < body.size && !read.wrong; at += piece) {
        const size_t size = body.size - at < piece ? body.size - at : piece;
        struct slice input = slice_make((const char *)body.data + at, size), data = { 0 };
        for (enum multipart_event event = multipart_next(self, &input, data_max, &data);
             event != MULTIPART_MORE; event = multipart_next(self, &input, data_max, &data)) {
            CHECK(event != MULTIPART_DATA || (data.size > 0 && data.size <= data_max));
            if (event == MULTIPART_PART)
                add(&read, slice_of(self->name)), add(&read, SLICE("="));
            else if (event == MULTIPART_DATA)
                add(&read, data);
            read.wrong = self->wrong;
            if (read.wrong)
                break;
        }
    }
    read.whole = multipart_whole(self);
    free(self);
    *ret_read = read;
}

static void check_reads(const char *body, const char *wanted)
{
    struct read read;
    const size_t size = strlen(body);
    for (size_t piece = 1; piece <= size; piece = piece < 8 ? piece + 1 : piece * 2) {
        for (size_t data_max = 1; data_max < 9; data_max += 3) {
            read_pieces(slice_of(body), piece, data_max, &read);
            CHECK(!read.wrong && read.whole);
            CHECK_TEXT(read.text, wanted);
        }
    }
}

static void check_wrong(const char *body, const char *word)
{
    struct read read;
    for (size_t piece = 1; piece < 64; piece *= 3) {
        read_pieces(slice_of(body), piece, 100, &read);
        CHECK(read.wrong && strstr(read.wrong, word));
    }
}

TEST(parts_come_in_order_however_the_body_is_cut)
{
    UNUSED;
    check_reads(FILE_PART
                "abc\r\n--XX\r\nContent-Disposition: form-data; name=bucket\r\n\r\nb\r\n--XX--\r\n",
                "file=abcbucket=b");
    check_reads(FILE_PART "\r\n--XX--", "file=");
}

TEST(what_only_looks_like_the_boundary_is_content)
{
    UNUSED;
    check_reads(FILE_PART "\r\r\n\r\n-\r\n--\r\n--X\r\r\n--XY--XX\r\n--XX--\r\n",
                "file=\r\r\n\r\n-\r\n--\r\n--X\r\r\n--XY--XX");
}

TEST(what_is_no_form_is_refused)
{
    UNUSED;
    check_wrong("preamble\r\n" FILE_PART "\r\n--XX--", "begin with its boundary");
    check_wrong(FILE_PART "a\r\n--XX\r\n\r\n\r\n--XX--", "no name");
    check_wrong("--XX\r\nContent-Disposition: attachment; name=a\r\n\r\n\r\n--XX--",
                "Content-Disposition");
    check_wrong("--XX\r\nContent-Disposition: form-data; name=\"a\r\n\r\n\r\n--XX--",
                "Content-Disposition");
    check_wrong("--XX\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\n\r\n--XX--",
                "Content-Disposition");
    check_wrong("--XX\r\nContent-Disposition: form-data; name=\"\xff\"\r\n\r\n\r\n--XX--",
                "Content-Disposition");
    check_wrong("--XX\r\nContent-Transfer-Encoding: base64\r\n\r\n", "encoded");
    check_wrong("--XX\r\nno header\r\n\r\n", "header that is none");
    check_wrong("--XX\r\nA: \x01\r\n\r\n", "control character");
    check_wrong(FILE_PART "a\r\n--XX--\r\nmore", "follows");
    check_wrong(FILE_PART "a\r\n--XX\n", "boundary");
}

TEST(what_is_cut_off_is_not_whole)
{
    UNUSED;
    struct read read;
    static const char body[] = FILE_PART "abc\r\n--XX--";
    for (size_t size = 0; size < sizeof body - 1; size++) {
        read_pieces(slice_make(body, size), 7, 100, &read);
        CHECK(!read.whole && !read.wrong);
    }
}

TEST(headers_and_parts_are_bounded)
{
    UNUSED;
    char body[MULTIPART_HEAD_MAX + 100] = "--XX\r\nA: ";
    memset(body + strlen(body), 'x', sizeof body - strlen(body) - 1);
    check_wrong(body, "too long");
    char *many = calloc(1, 4096);
    for (int i = 0; i <= MULTIPART_PARTS_MAX; i++)
        (void)strncat(many, "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n", 100);
    check_wrong(many, "too many");
    free(many);
}

TEST(quotes_and_escapes_of_names_are_read)
{
    UNUSED;
    check_reads("--XX\r\ncontent-disposition: Form-Data;name=\"a\\\"b\\\\c;d\"; "
                "filename*=UTF-8''x\r\n\r\n1\r\n--XX--",
                "a\"b\\c;d=1");
}

TEST(a_boundary_is_what_the_header_says)
{
    UNUSED;
    struct multipart self;
    CHECK(multipart_init(&self, "multipart/form-data; charset=x; BOUNDARY=\"a b:c\"; x=y"));
    CHECK_SLICE(slice_make(self.mark, self.mark_size), "\r\n--a b:c");
    CHECK(!multipart_init(&self, "multipart/form-data"));
    CHECK(!multipart_init(&self, "multipart/form-data; boundary="));
    CHECK(!multipart_init(&self, "multipart/form-data; boundary=\"a \""));
    CHECK(!multipart_init(&self, "multipart/form-data; boundary=a\r"));
    CHECK(!multipart_init(
        &self, "multipart/form-data; boundary="
               "0123456789012345678901234567890123456789012345678901234567890123456789x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(parts_come_in_order_however_the_body_is_cut),
        HOLDS(what_only_looks_like_the_boundary_is_content),
        HOLDS(what_is_no_form_is_refused),
        HOLDS(what_is_cut_off_is_not_whole),
        HOLDS(headers_and_parts_are_bounded),
        HOLDS(quotes_and_escapes_of_names_are_read),
        HOLDS(a_boundary_is_what_the_header_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
