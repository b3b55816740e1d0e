#include "common/pack/pack.h"
#include "common/scoped.h"
#include "common/status.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <limits.h>

enum { ROOM = 65536 };

/* An archive in memory. */
struct shelf {
    char bytes[ROOM];
    size_t size;
    int answer; /* of the sink */
    unsigned calls, questions;
    unsigned stop_at;
    uint64_t done, total;
};

static int put(void *arg, const void *bytes, size_t size)
{
    struct shelf *self = arg;
    self->calls++;
    if (self->answer)
        return self->answer;
    assert_true(size <= ROOM - self->size);
    memcpy(self->bytes + self->size, bytes, size);
    self->size += size;
    return 0;
}

static void moved(void *arg, uint64_t done, uint64_t total)
{
    struct shelf *self = arg;
    assert_true(done >= self->done && done <= total);
    self->done = done;
    self->total = total;
}

static bool stop(void *arg)
{
    struct shelf *self = arg;
    return ++self->questions == self->stop_at;
}

static int pack_in(const char *folder, enum pack_format format, struct shelf *shelf,
                   struct pack_stats *stats)
{
    char path[PATH_MAX];
    char message[PACK_MESSAGE];
    struct pack_row row = { .folder = path,
                            .format = format,
                            .level = PACK_FAST,
                            .sink = put,
                            .moved = moved,
                            .stop = stop,
                            .arg = shelf };
    assert_non_null(realpath(folder, path));
    int r = pack_folder(&row, stats, message);
    assert_true((r == 0) == (message[0] == '\0'));
    return r;
}

static int unpack_in(const struct shelf *shelf, const char *folder, struct pack_stats *stats,
                     char *message)
{
    FILE *file = fopen("archive", "we");
    assert_true(file && fwrite(shelf->bytes, shelf->size, 1, file) == 1 && fclose(file) == 0);
    const struct unpack_row row = {
        .archive = "archive", .folder = folder, .files_max = 10, .bytes_max = 1000, .ratio_max = 100
    };
    return unpack(&row, stats, message);
}

static void plant(const char *name)
{
    scratch_enter(name);
    assert_true(mkdir("in", 0755) == 0 && mkdir("in/sub", 0755) == 0 && mkdir("out", 0755) == 0);
    scratch_write("in/sub/\xe4\xb8\xad.txt", "middle");
    scratch_write("in/b", "");
    scratch_write("in/a", "first");
}

static void leave(void)
{
    assert_true(chdir("..") == 0);
}

TEST(a_folder_comes_back)
{
    UNUSED;
    for (enum pack_format format = PACK_ZIP; format <= PACK_TAR_GZ; format++) {
        struct shelf shelf = { .size = 0 };
        struct pack_stats made = { 0 };
        struct pack_stats back = { 0 };
        char message[PACK_MESSAGE];
        plant("comes_back");
        CHECK_INT(pack_in("in", format, &shelf, &made), 0);
        CHECK_INT(made.files, 3);
        CHECK_INT(made.original_bytes, 11);
        CHECK_INT(made.packed_bytes, shelf.size);
        CHECK_INT(strlen(made.sha256), 64);
        CHECK(made.seconds > 0);
        CHECK_INT(shelf.done, 11);
        CHECK_INT(shelf.total, 11);
        CHECK_INT(unpack_in(&shelf, "out", &back, message), 0);
        CHECK_TEXT(message, "");
        CHECK_INT(back.files, 3);
        CHECK_INT(back.original_bytes, 11);
        CHECK_TEXT(back.sha256, "");
        scoped_text char *text = scratch_read("out/sub/\xe4\xb8\xad.txt");
        CHECK_TEXT(text, "middle");
        CHECK_INT(unpack_in(&shelf, "out", &back, message), STATUS_CONFLICT);
        leave();
    }
}

TEST(a_sink_is_not_called_again_once_it_refused)
{
    UNUSED;
    for (enum pack_format format = PACK_ZIP; format <= PACK_TAR_GZ; format++) {
        struct shelf shelf = { .answer = STATUS_UNAVAILABLE };
        struct pack_stats stats = { .files = 77 };
        plant("refuses");
        CHECK_INT(pack_in("in", format, &shelf, &stats), STATUS_UNAVAILABLE);
        CHECK_INT(shelf.calls, 1);
        CHECK_INT(stats.files, 77);
        shelf = (struct shelf){ .answer = -ENOSPC };
        CHECK_INT(pack_in("in", format, &shelf, &stats), -ENOSPC);
        leave();
    }
}

TEST(it_stops_when_it_is_told)
{
    UNUSED;
    for (unsigned at = 1; at < 4; at++) {
        struct shelf shelf = { .stop_at = at };
        struct pack_stats stats = { 0 };
        plant("stops");
        CHECK_INT(pack_in("in", PACK_ZIP, &shelf, &stats), -ECANCELED);
        CHECK_INT(shelf.size, 0);
        leave();
    }
}

TEST(refusals_leave_nothing_and_no_byte)
{
    UNUSED;
    struct shelf shelf = { .size = 0 };
    struct pack_stats stats = { 0 };
    plant("refusals");
    CHECK_INT(pack_in("out", PACK_ZIP, &shelf, &stats), STATUS_EMPTY);
    assert_true(symlink("a", "in/link") == 0);
    CHECK_INT(pack_in("in", PACK_ZIP, &shelf, &stats), STATUS_UNSUPPORTED);
    CHECK_INT(shelf.calls, 0);
    char message[PACK_MESSAGE];
    (void)put(&shelf, "no archive", 10);
    CHECK_INT(unpack_in(&shelf, "out", &stats, message), STATUS_MALFORMED);
    CHECK(message[0] != '\0');
    CHECK_INT(rmdir("out"), 0); /* empty */
    leave();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_folder_comes_back),
        HOLDS(a_sink_is_not_called_again_once_it_refused),
        HOLDS(it_stops_when_it_is_told),
        HOLDS(refusals_leave_nothing_and_no_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
