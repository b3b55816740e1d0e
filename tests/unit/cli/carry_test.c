#include "services/cli/carry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "services/cli/manifest.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

/* SHA-256 of "new". */
#define NEW "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"

static int here, there;

static int setup(void **state)
{
    (void)state;
    scratch_enter("carry_test.d");
    if (mkdir("here", 0700) || mkdir("there", 0700) || mkdir("here/in", 0700))
        return -1;
    here = open("here", O_PATH | O_DIRECTORY | O_CLOEXEC);
    there = open("there", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return here < 0 || there < 0;
}

static int teardown(void **state)
{
    (void)state;
    return close(here) || close(there) || chdir("..");
}

static bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

static int carry(const char *path, bool dry, enum carry_fate *fate)
{
    const struct carry row = { here, there, path, NEW, dry };
    return carry_file(&row, fate);
}

TEST(a_digest_is_of_a_file_that_is_no_link)
{
    UNUSED;
    char sha256[CARRY_SHA256] = "";
    scratch_write("here/in/file", "new");
    CHECK_INT(carry_digest(here, "in/file", sha256), 0);
    CHECK_TEXT(sha256, NEW);
    CHECK_INT(symlink("in/file", "here/link") | symlink("in", "here/away"), 0);
    CHECK_INT(mkfifo("here/fifo", 0600), 0);
    CHECK_INT(carry_digest(here, "link", sha256), -ELOOP);
    CHECK_INT(carry_digest(here, "away/file", sha256), -ELOOP);
    CHECK_INT(carry_digest(here, "../here/in/file", sha256), -EXDEV);
    CHECK_INT(carry_digest(here, "in", sha256), -EINVAL);
    CHECK_INT(carry_digest(here, "fifo", sha256), -EINVAL);
    CHECK_INT(carry_digest(here, "none", sha256), -ENOENT);
    CHECK_INT(carry_digest(here, "in/file/none", sha256), -ENOENT);
    CHECK_INT(carry_digest(-1, "in/file", sha256), -ENOENT);
    CHECK_TEXT(sha256, NEW);
}

TEST(a_file_is_moved_once)
{
    UNUSED;
    enum carry_fate fate = CARRY_CONFLICT;
    scratch_write("here/a", "new");
    CHECK_INT(carry("a", true, &fate), 0);
    CHECK_INT(fate, CARRY_MOVED);
    CHECK(exists("here/a") && !exists("there/a"));
    CHECK_INT(carry("a", false, &fate), 0);
    CHECK_INT(fate, CARRY_MOVED);
    CHECK(!exists("here/a") && exists("there/a"));
    CHECK_INT(carry("a", false, &fate), 0);
    CHECK_INT(fate, CARRY_BEFORE);
    CHECK_INT(carry("none", false, &fate), 0);
    CHECK_INT(fate, CARRY_MISSING);
}

TEST(a_move_that_was_cut_off_is_ended)
{
    UNUSED;
    enum carry_fate fate = CARRY_CONFLICT;
    scratch_write("here/a", "new");
    scratch_write("there/a", "new");
    CHECK_INT(carry("a", true, &fate), 0);
    CHECK(exists("here/a"));
    CHECK_INT(carry("a", false, &fate), 0);
    CHECK_INT(fate, CARRY_MOVED);
    CHECK(!exists("here/a") && exists("there/a"));
}

TEST(another_file_is_a_conflict_and_both_stay)
{
    UNUSED;
    enum carry_fate fate = CARRY_MOVED;
    scratch_write("here/a", "new");
    scratch_write("there/a", "other");
    scratch_write("here/b", "changed");
    scratch_write("here/c", "new");
    CHECK_INT(symlink("a", "there/c"), 0);
    static const char *const names[] = { "a", "b", "c" };
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(carry(names[i], false, &fate), 0);
        CHECK_INT(fate, CARRY_CONFLICT);
    }
    CHECK(exists("here/a") && exists("here/b") && exists("here/c") && !exists("there/b"));
    char *text = scratch_read("there/a");
    CHECK_TEXT(text, "other");
    free(text);
}

TEST(without_a_folder_for_it_nothing_is_moved)
{
    UNUSED;
    enum carry_fate fate = CARRY_CONFLICT;
    scratch_write("here/in/a", "new");
    CHECK_INT(carry("in/a", false, &fate), -ENOENT);
    CHECK(exists("here/in/a"));
}

TEST(a_manifest_is_read_as_it_was_written)
{
    UNUSED;
    struct stat info;
    json_t *manifest = NULL;
    scratch_write("here/in/a", "new");
    CHECK_INT(manifest_read(there, "t1", &manifest), 0);
    CHECK_INT(json_object_size(manifest), 0);
    CHECK_INT(stat("here/in", &info), 0);
    CHECK_INT(manifest_add_folder(manifest, "in", &info, true), 0);
    CHECK_INT(stat("here/in/a", &info), 0);
    CHECK_INT(manifest_add_file(manifest, "in/a", &info, NEW), 0);
    CHECK_INT(manifest_add_file(manifest, "in/\xff", &info, NEW), -EILSEQ);
    CHECK_INT(manifest_write(there, "t1", manifest), 0);
    json_decref(manifest);

    CHECK_INT(manifest_read(there, "t1", &manifest), 0);
    CHECK_INT(json_object_size(manifest), 2);
    const json_t *folder = json_object_get(manifest, "in"),
                 *file = json_object_get(manifest, "in/a");
    CHECK(!manifest_sha256(folder) && manifest_made(folder));
    CHECK_TEXT(manifest_sha256(file), NEW);
    CHECK_INT(manifest_bytes(file), 3);
    CHECK_INT(utimensat(AT_FDCWD, "here/in", NULL, 0) | chmod("here/in", 0755), 0);
    int fd = open("here/in", O_RDONLY | O_CLOEXEC);
    CHECK_INT(manifest_restore(folder, fd), 0);
    CHECK_INT(fstat(fd, &info) | close(fd), 0);
    CHECK_INT(info.st_mode & 07777, 0700);
    CHECK_INT(json_integer_value(json_object_get(folder, "mtime_ns")) % 1000000000,
              info.st_mtim.tv_nsec);

    json_object_clear(manifest);
    CHECK_INT(manifest_write(there, "t1", manifest), 0);
    CHECK(!exists("there/t1.jsonl") && !exists("there/t1.part"));
    json_decref(manifest);
}

TEST(what_is_no_manifest_is_refused)
{
    UNUSED;
    json_t *manifest = NULL;
    static const char *const texts[] = {
        "x\n", "{}\n", "[]\n", "{\"path\":7}\n", "{\"path\":\"\"}\n", "{\"path\":\"a\"}\nx"
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        scratch_write("there/t1.jsonl", texts[i]);
        CHECK_INT(manifest_read(there, "t1", &manifest), -EBADMSG);
    }
    CHECK(!manifest);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test##_holds, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(a_digest_is_of_a_file_that_is_no_link),
        EACH(a_file_is_moved_once),
        EACH(a_move_that_was_cut_off_is_ended),
        EACH(another_file_is_a_conflict_and_both_stay),
        EACH(without_a_folder_for_it_nothing_is_moved),
        EACH(a_manifest_is_read_as_it_was_written),
        EACH(what_is_no_manifest_is_refused),
    };
    return cmocka_run_group_tests_name("carry", tests, NULL, NULL);
}
