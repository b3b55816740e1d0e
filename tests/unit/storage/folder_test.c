#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/storage/storage.h"

#include "common/scoped.h"
#include "common/status.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

static char here[PATH_MAX]; /* the scratch folder */

static const char *at(const char *name)
{
    static char path[2 * PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", here, name);
    return path;
}

static bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

TEST(a_tasks_folder_is_made_with_all_above_it)
{
    UNUSED;
    char path[PATH_MAX] = "";
    CHECK_INT(storage_task_folder("deep/er/root", SLICE("t1"), path), 0);
    CHECK_TEXT(path, at("deep/er/root/t1"));
    CHECK(exists("deep/er/root/t1/tmp"));
    CHECK_INT(storage_task_folder(at("deep//er/root/"), SLICE("t1"), path), 0);
    CHECK_TEXT(path, at("deep/er/root/t1"));
}

TEST(a_tasks_folder_is_refused)
{
    UNUSED;
    char path[PATH_MAX] = "as it was";
    CHECK_INT(storage_task_folder("root", SLICE("../x"), path), STATUS_INVALID);
    CHECK(!exists("root"));
    scratch_write("file", "");
    CHECK_INT(storage_task_folder("file", SLICE("t"), path), -ENOTDIR);

    /* A link where the task's folder belongs is not followed. */
    CHECK_INT(mkdir("root", 0700) | mkdir("elsewhere", 0700), 0);
    CHECK_INT(symlink(at("elsewhere"), "root/linked"), 0);
    CHECK_INT(storage_task_folder("root", SLICE("linked"), path), STATUS_DENIED);
    CHECK(!exists("elsewhere/tmp"));
    CHECK_TEXT(path, "as it was");
}

TEST(an_attempts_folder_is_new_and_empty)
{
    UNUSED;
    char folder[PATH_MAX];
    char path[PATH_MAX];
    CHECK_INT(storage_task_folder("root", SLICE("t2"), folder), 0);
    char second[PATH_MAX];
    CHECK_INT(storage_attempt_folder(folder, "system.echo", 1, path), 0);
    const char *start = at("root/t2/tmp/system.echo.1.");
    CHECK(strncmp(path, start, strlen(start)) == 0 && strlen(path) == strlen(start) + 8);
    CHECK(exists(path));
    CHECK_INT(storage_attempt_folder(folder, "system.echo", 1, second), 0);
    CHECK(exists(second) && strcmp(path, second) != 0);
    CHECK_INT(storage_attempt_folder(folder, "../echo", 1, path), -EINVAL);
    CHECK_INT(storage_attempt_folder(at("missing"), "system.echo", 1, path), -ENOENT);
}

TEST(an_attempts_folder_is_not_made_through_a_link)
{
    UNUSED;
    char folder[PATH_MAX];
    char path[PATH_MAX];
    CHECK_INT(storage_task_folder("root", SLICE("t3"), folder), 0);
    CHECK_INT(mkdir("victim", 0700) | mkdir("victim/system.echo.1", 0700), 0);
    CHECK_INT(rmdir("root/t3/tmp"), 0);
    CHECK_INT(symlink(at("victim"), "root/t3/tmp"), 0);
    CHECK_INT(storage_attempt_folder(folder, "system.echo", 1, path), -ELOOP);
    CHECK(exists("victim/system.echo.1"));
}

TEST(a_folder_is_opened_as_it_is_or_made)
{
    UNUSED;
    int fd = -7;
    CHECK_INT(storage_open("open", SLICE("t1"), false, &fd), STATUS_NOT_FOUND);
    CHECK(!exists("open"));
    CHECK_INT(storage_open("open", SLICE("t1"), true, &fd), 0);
    CHECK(exists("open/t1/tmp"));
    CHECK_INT(close(fd), 0);
    CHECK_INT(rmdir("open/t1/tmp"), 0);
    CHECK_INT(storage_open("open", SLICE("t1"), false, &fd), 0);
    CHECK(!exists("open/t1/tmp")); /* who only looks makes nothing */
    CHECK_INT(close(fd), 0);
    fd = -7;
    CHECK_INT(storage_open("open", SLICE("t2"), false, &fd), STATUS_NOT_FOUND);
    CHECK_INT(fd, -7);
}

TEST(what_is_no_tasks_folder_is_not_opened)
{
    UNUSED;
    int fd = -7;
    const struct slice wrong[] = { SLICE_INIT(""),     SLICE_INIT("."),      SLICE_INIT(".."),
                                   SLICE_INIT("a/b"),  SLICE_INIT("../t1"),  SLICE_INIT("/"),
                                   SLICE_INIT("a..b"), SLICE_INIT(".trash"), SLICE_INIT("a\0b"),
                                   SLICE_INIT("t1/"),  SLICE_INIT("pending") };
    CHECK_INT(mkdir("kinds", 0700) | mkdir("kinds/real", 0700), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (int make = 0; make < 2; make++)
            CHECK_INT(storage_open("kinds", wrong[i], make, &fd), STATUS_INVALID);
    scratch_write("kinds/file", "x");
    CHECK_INT(symlink("real", "kinds/link") | symlink("none", "kinds/dangling"), 0);
    CHECK_INT(mkfifo("kinds/fifo", 0600), 0);
    static const char *const names[] = { "file", "link", "dangling", "fifo" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int make = 0; make < 2; make++)
            CHECK_INT(storage_open("kinds", slice_of(names[i]), make, &fd), STATUS_DENIED);
    CHECK(!exists("kinds/real/tmp") && !exists("kinds/none"));
    CHECK_INT(fd, -7);
}

TEST(a_place_is_beneath_the_folder_and_not_in_its_tmp)
{
    UNUSED;
    CHECK(storage_is_place("a") && storage_is_place("a/tmp") && storage_is_place("tmp.wav"));
    CHECK(!storage_is_place("tmp") && !storage_is_place("tmp/a") && !storage_is_place("../a"));
}

TEST(what_stands_above_a_path_is_made_through_no_link)
{
    UNUSED;
    CHECK_INT(mkdir("above", 0700) | mkdir("above/a", 0700) | mkdir("outside", 0700), 0);
    CHECK_INT(storage_make_parents("above", "file"), 0);
    CHECK_INT(storage_make_parents("above", "a/b/c/file"), 0);
    CHECK_INT(storage_make_parents("above", "a/b/c/file"), 0);
    CHECK(exists("above/a/b/c") && !exists("above/a/b/c/file") && !exists("above/file"));
    scratch_write("above/file", "x");
    CHECK_INT(symlink("../outside", "above/link"), 0);
    CHECK_INT(storage_make_parents("above", "file/x"), -ENOTDIR);
    CHECK_INT(storage_make_parents("above", "file/x/y"), -ENOTDIR);
    CHECK_INT(storage_make_parents("above", "link/x/y"), -ELOOP);
    CHECK(!exists("outside/x"));
    CHECK_INT(storage_make_parents("none", "x"), -ENOENT);
}

TEST(a_temporary_file_has_a_name_of_its_own)
{
    UNUSED;
    char first[STORAGE_TEMP_NAME], second[STORAGE_TEMP_NAME];
    long long ms = 0;
    unsigned bits = 0;
    int end = 0;
    CHECK_INT(storage_temp_name(".tar.gz", first), 0);
    CHECK_INT(sscanf(first, "temp_%lld_%8x.tar.gz%n", &ms, &bits, &end), 2);
    CHECK_INT(end, strlen(first));
    CHECK(ms > 1600000000000);
    CHECK_INT(storage_temp_name("", first), 0);
    CHECK_INT(storage_temp_name("", second), 0);
    CHECK(strcmp(first, second) != 0);
    CHECK_INT(storage_temp_name(".2345678901234567890123456789012", first), 0);
    CHECK_INT(storage_temp_name(".23456789012345678901234567890123", first), -EINVAL);
    static const char *const wrong[] = { "mp4", "./x", ".a/b", ". ", ".\xc3\xa4", "/", ".a:b" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_INT(storage_temp_name(wrong[i], first), -EINVAL);
}

TEST(a_temporary_file_lies_in_the_tasks_tmp)
{
    UNUSED;
    char name[STORAGE_TEMP_NAME];
    char path[2 * STORAGE_TEMP_NAME];
    int file = -1;
    scoped_fd int folder = -1;
    CHECK_INT(storage_open("temps", SLICE("t1"), true, &folder), 0);
    CHECK_INT(rmdir("temps/t1/tmp"), 0); /* made again */
    CHECK_INT(storage_temp_open(folder, ".mp4", name, &file), 0);
    CHECK_INT(write(file, "abc", 3), 3);
    CHECK_INT(lseek(file, 0, SEEK_SET), 0);
    char bytes[4] = "";
    CHECK_INT(read(file, bytes, sizeof bytes), 3);
    CHECK_INT(close(file), 0);
    (void)snprintf(path, sizeof path, "temps/t1/tmp/%s", name);
    CHECK(exists(path));
    CHECK_INT(storage_temp_open(folder, "mp4", name, &file), -EINVAL);
    CHECK_INT(unlink(path) | rmdir("temps/t1/tmp") | mkdir("aside", 0700), 0);
    CHECK_INT(symlink("../../aside", "temps/t1/tmp"), 0);
    CHECK_INT(storage_temp_open(folder, "", name, &file), -ELOOP);
}

int main(void)
{
    scratch_enter("folder_test.d");
    if (!realpath(".", here))
        return 1;
    const struct CMUnitTest tests[] = {
        HOLDS(a_tasks_folder_is_made_with_all_above_it),
        HOLDS(a_tasks_folder_is_refused),
        HOLDS(an_attempts_folder_is_new_and_empty),
        HOLDS(an_attempts_folder_is_not_made_through_a_link),
        HOLDS(a_folder_is_opened_as_it_is_or_made),
        HOLDS(what_is_no_tasks_folder_is_not_opened),
        HOLDS(a_place_is_beneath_the_folder_and_not_in_its_tmp),
        HOLDS(what_stands_above_a_path_is_made_through_no_link),
        HOLDS(a_temporary_file_has_a_name_of_its_own),
        HOLDS(a_temporary_file_lies_in_the_tasks_tmp),
    };
    return cmocka_run_group_tests_name("folder", tests, NULL, NULL);
}
