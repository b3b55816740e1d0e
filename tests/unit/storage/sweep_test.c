#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "common/storage/storage.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

enum { HOUR_MS = 3600000 };

static bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

/* The file system's clock is a coarse one: what was just made may seem to be made a little later.
 */
static void grow_older(void)
{
    (void)nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
}

static int setup(void **state)
{
    (void)state;
    scratch_enter("sweep_test.d");
    return mkdir("root", 0700) || mkdir("root/t1", 0700) || mkdir("root/t1/tmp", 0700);
}

static int teardown(void **state)
{
    (void)state;
    return chdir("..");
}

static uint64_t swept(int64_t age_ms)
{
    uint64_t count = 99;
    scoped_fd int folder = open("root/t1", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(storage_sweep(folder, age_ms, &count), 0);
    return count;
}

TEST(temporary_files_go_when_they_are_old)
{
    UNUSED;
    scratch_write("root/t1/kept", "x");
    scratch_write("root/t1/tmp/temp_1_00000000.mp4", "x");
    CHECK_INT(mkdir("root/t1/tmp/ffmpeg.extract_audio.1", 0700), 0);
    scratch_write("root/t1/tmp/ffmpeg.extract_audio.1/half", "x");
    CHECK_INT(swept(HOUR_MS), 0);
    CHECK(exists("root/t1/tmp/ffmpeg.extract_audio.1/half"));
    grow_older();
    CHECK_INT(swept(0), 2);
    CHECK(exists("root/t1/tmp") && exists("root/t1/kept"));
    CHECK_INT(swept(0), 0);
    CHECK_INT(rmdir("root/t1/tmp"), 0);
    CHECK_INT(swept(0), 0);
}

TEST(a_file_still_written_keeps_its_folder)
{
    UNUSED;
    CHECK_INT(mkdir("root/t1/tmp/a", 0700) | mkdir("root/t1/tmp/a/b", 0700), 0);
    scratch_write("root/t1/tmp/a/b/slow", "x");
    grow_older();
    (void)nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
    scratch_write("root/t1/tmp/a/b/slow", "more");
    CHECK_INT(swept(190), 0);
    CHECK(exists("root/t1/tmp/a/b/slow"));
}

TEST(parts_of_hand_overs_go_and_nothing_like_them)
{
    UNUSED;
    static const char *const kept[] = { "root/t1/.part.0123abc", "root/t1/.part.0123abcdx",
                                        "root/t1/x.part.0123abcd", "root/t1/.part.0123ABCD",
                                        "root/t1/deep/.party" };
    CHECK_INT(mkdir("root/t1/deep", 0700) | mkdir("root/t1/deep/.part.00000000", 0700), 0);
    scratch_write("root/t1/.part.0123abcd", "x");
    scratch_write("root/t1/deep/.part.00000000/file", "x");
    CHECK_INT(mkdir("beside", 0700) | mkdir("beside/.part.00000001", 0700), 0);
    CHECK_INT(symlink("../../beside", "root/t1/away"), 0);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        scratch_write(kept[i], "x");
    CHECK_INT(swept(HOUR_MS), 0);
    grow_older();
    CHECK_INT(swept(0), 2);
    CHECK(!exists("root/t1/.part.0123abcd") && !exists("root/t1/deep/.part.00000000"));
    CHECK(exists("beside/.part.00000001"));
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        CHECK(exists(kept[i]));
}

TEST(a_tmp_that_is_a_link_is_not_swept)
{
    UNUSED;
    uint64_t count = 99;
    CHECK_INT(rmdir("root/t1/tmp") | mkdir("victim", 0700), 0);
    scratch_write("victim/file", "x");
    CHECK_INT(symlink("../../victim", "root/t1/tmp"), 0);
    grow_older();
    scoped_fd int folder = open("root/t1", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(storage_sweep(folder, 0, &count), -ELOOP);
    CHECK_INT(count, 99);
    CHECK(exists("victim/file"));
}

TEST(trash_goes_when_it_is_old)
{
    UNUSED;
    uint64_t count = 99;
    CHECK_INT(storage_empty_trash("root", 0, &count), 0); /* there is none */
    CHECK_INT(count, 0);
    CHECK_INT(storage_empty_trash("nowhere", 0, &count), -ENOENT);
    CHECK_INT(mkdir("root/.trash", 0700) | mkdir("root/.trash/t2.0123abcd", 0700), 0);
    scratch_write("root/.trash/t2.0123abcd/file", "x");
    scratch_write("root/.trash/file", "x");
    CHECK_INT(storage_empty_trash("root", HOUR_MS, &count), 0);
    CHECK_INT(count, 0);
    grow_older();
    CHECK_INT(storage_empty_trash("root", 0, &count), 0);
    CHECK_INT(count, 2);
    CHECK(exists("root/.trash") && exists("root/t1"));
    CHECK(!exists("root/.trash/file") && !exists("root/.trash/t2.0123abcd"));
}

TEST(a_look_counts_and_removes_nothing)
{
    UNUSED;
    uint64_t count = 99;
    int64_t changed_ms = 0, later_ms = 0;
    scoped_fd int folder = open("root/t1", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(storage_changed(folder, &changed_ms), 0);
    CHECK(changed_ms > 0 && changed_ms <= clock_wall_ms());
    CHECK_INT(mkdir("root/t1/deep", 0700) | mkdir("root/.trash", 0700), 0);
    grow_older();
    scratch_write("root/t1/deep/file", "x");
    CHECK_INT(storage_changed(folder, &later_ms), 0);
    CHECK(later_ms > changed_ms);
    scratch_write("root/t1/tmp/one", "x");
    scratch_write("root/.trash/two", "x");
    grow_older();
    CHECK_INT(storage_sweep_look(folder, HOUR_MS, &count), 0);
    CHECK_INT(count, 0);
    CHECK_INT(storage_sweep_look(folder, 0, &count), 0);
    CHECK_INT(count, 1);
    CHECK_INT(storage_trash_look("root", 0, &count), 0);
    CHECK_INT(count, 1);
    CHECK(exists("root/t1/tmp/one") && exists("root/.trash/two"));
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test##_holds, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(temporary_files_go_when_they_are_old),
        EACH(a_file_still_written_keeps_its_folder),
        EACH(parts_of_hand_overs_go_and_nothing_like_them),
        EACH(a_tmp_that_is_a_link_is_not_swept),
        EACH(trash_goes_when_it_is_old),
        EACH(a_look_counts_and_removes_nothing),
    };
    return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
