#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scoped.h"
#include "common/storage/storage.h"
#include "common/storage/tree.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

static bool far_mounted; /* "far" is a file system of its own */

static bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

static void check_file(const char *path, const char *should)
{
    scoped_text char *text = scratch_read(path);
    CHECK_TEXT(text, should);
}

static void make_tree(const char *top)
{
    char path[256];
    CHECK_INT(mkdir(top, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/sub", top);
    CHECK_INT(mkdir(path, 0750), 0);
    (void)snprintf(path, sizeof path, "%s/sub/file", top);
    scratch_write(path, "deep");
    CHECK_INT(chmod(path, 0640), 0);
    (void)snprintf(path, sizeof path, "%s/link", top);
    CHECK_INT(symlink("sub/file", path), 0);
}

static void check_tree(const char *top)
{
    char path[256];
    char target[32] = "";
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/sub/file", top);
    check_file(path, "deep");
    CHECK_INT(stat(path, &info), 0);
    CHECK_INT(info.st_mode & 0777, 0640);
    (void)snprintf(path, sizeof path, "%s/sub", top);
    CHECK_INT(stat(path, &info), 0);
    CHECK_INT(info.st_mode & 0777, 0750);
    (void)snprintf(path, sizeof path, "%s/link", top);
    CHECK(readlink(path, target, sizeof target - 1) > 0);
    CHECK_TEXT(target, "sub/file");
}

/* Every case once within a file system and once across two. */
static void check_moves(const char *place)
{
    char from[64];
    char to[64] = "place/out";
    (void)snprintf(from, sizeof from, "%s/out", place);

    scratch_write(from, "one");
    CHECK_INT(storage_hand_over(from, to), 0);
    check_file(to, "one");
    CHECK(!exists(from));

    scratch_write(from, "two"); /* a file over a file */
    CHECK_INT(storage_hand_over(from, to), 0);
    check_file(to, "two");

    make_tree(from); /* a folder over a file */
    CHECK_INT(storage_hand_over(from, to), 0);
    check_tree(to);
    CHECK(!exists(from));

    scratch_write("place/out/old", "old");
    make_tree(from); /* a folder over a folder with something in it */
    CHECK_INT(storage_hand_over(from, to), 0);
    check_tree(to);
    CHECK(!exists("place/out/old"));

    scratch_write(from, "three"); /* a file over a folder */
    CHECK_INT(storage_hand_over(from, to), 0);
    check_file(to, "three");
    CHECK(!exists(from));
    CHECK_INT(unlink(to), 0);
    CHECK_INT(rmdir("place"), 0); /* nothing else was left there */
    CHECK_INT(mkdir("place", 0700), 0);
}

TEST(a_result_takes_its_place)
{
    UNUSED;
    check_moves("near");
}

TEST(a_result_takes_its_place_across_file_systems)
{
    UNUSED;
    if (!far_mounted)
        skip();
    check_moves("far");
}

TEST(what_cannot_be_handed_over_stays)
{
    UNUSED;
    CHECK_INT(storage_hand_over("near/none", "place/out"), -ENOENT);
    scratch_write("near/out", "x");
    CHECK_INT(storage_hand_over("near/out", "place/none/out"), -ENOENT);
    check_file("near/out", "x");
    CHECK_INT(symlink("/etc/passwd", "near/link"), 0);
    CHECK_INT(storage_hand_over("near/link", "place/out"), -ELOOP);
    CHECK(!exists("place/out"));
    if (!far_mounted)
        return;
    CHECK_INT(mkdir("far/tree", 0700) | mkfifo("far/tree/fifo", 0600), 0);
    CHECK_INT(storage_hand_over("far/tree", "place/out"), -EINVAL);
    CHECK(exists("far/tree/fifo"));
    CHECK_INT(rmdir("place"), 0); /* no half of it was left */
    CHECK_INT(mkdir("place", 0700), 0);
}

/* A file where there is none, in one file system or across two. */
static void check_new(const char *place)
{
    char from[64];
    (void)snprintf(from, sizeof from, "%s/new", place);
    scratch_write(from, "one");
    CHECK_INT(storage_hand_over_new(from, "place/new"), 0);
    check_file("place/new", "one");
    CHECK(!exists(from));
    scratch_write(from, "two");
    CHECK_INT(storage_hand_over_new(from, "place/new"), -EEXIST);
    check_file("place/new", "one");
    check_file(from, "two");
    CHECK_INT(unlink("place/new") | symlink("nowhere", "place/new"), 0);
    CHECK_INT(storage_hand_over_new(from, "place/new"), -EEXIST);
    CHECK_INT(unlink("place/new") | mkdir("place/new", 0700), 0);
    CHECK_INT(storage_hand_over_new(from, "place/new"), -EEXIST);
    CHECK_INT(rmdir("place/new"), 0);
    CHECK_INT(unlink(from) | mkdir(from, 0700), 0);
    CHECK_INT(storage_hand_over_new(from, "place/new"), -EINVAL);
    CHECK_INT(rmdir(from) | symlink("/etc/passwd", from), 0);
    CHECK_INT(storage_hand_over_new(from, "place/new"), -ELOOP);
    CHECK_INT(unlink(from), 0);
    CHECK_INT(storage_hand_over_new(from, "place/new"), -ENOENT);
    CHECK_INT(rmdir("place"), 0); /* nothing was left there */
    CHECK_INT(mkdir("place", 0700), 0);
}

TEST(what_stands_at_a_new_place_stays)
{
    UNUSED;
    check_new("near");
    if (far_mounted)
        check_new("far");
}

/* Across file systems: what lies about may be as long as a name can be. */
TEST(the_longest_name_is_handed_over)
{
    UNUSED;
    char name[256], from[300], to[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    (void)snprintf(from, sizeof from, "%s/%s", far_mounted ? "far" : "near", name);
    (void)snprintf(to, sizeof to, "place/%s", name);
    scratch_write(from, "long");
    CHECK_INT(storage_hand_over(from, to), 0);
    check_file(to, "long");
    CHECK_INT(unlink(to), 0);
}

TEST(a_full_disk_leaves_all_as_it_was)
{
    UNUSED;
    if (!far_mounted)
        skip();
    static char bytes[1 << 20];
    CHECK_INT(mkdir("near/large", 0700), 0);
    for (int i = 0; i < 20; i++) { /* 20 MiB to a disk of 16 */
        char path[32];
        (void)snprintf(path, sizeof path, "near/large/%02d", i);
        FILE *file = fopen(path, "we");
        CHECK(file && fwrite(bytes, 1, sizeof bytes, file) == sizeof bytes && fclose(file) == 0);
    }
    CHECK_INT(mkdir("far/out", 0700), 0);
    scratch_write("far/out/old", "old");
    CHECK_INT(storage_hand_over("near/large", "far/out"), -ENOSPC);
    check_file("far/out/old", "old");
    CHECK(exists("near/large/00") && exists("near/large/19"));
    CHECK_INT(tree_remove(AT_FDCWD, "far/out") | tree_remove(AT_FDCWD, "far/tree"), 0);
    CHECK_INT(tree_remove(AT_FDCWD, "near/large"), 0);
    scoped_fd int far = open("far", O_PATH | O_CLOEXEC);
    struct storage_usage usage;
    CHECK_INT(storage_usage(far, &usage), 0);
    CHECK_INT(usage.files, 0); /* no half is left */
}

int main(void)
{
    scratch_enter("hand_over_test.d");
    if (mkdir("near", 0700) || mkdir("far", 0700) || mkdir("place", 0700))
        return 1;
    far_mounted = unshare(CLONE_NEWNS) == 0 &&
                  mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                  mount("far", "far", "tmpfs", 0, "size=16m") == 0;
    const struct CMUnitTest tests[] = {
        HOLDS(a_result_takes_its_place),
        HOLDS(a_result_takes_its_place_across_file_systems),
        HOLDS(what_cannot_be_handed_over_stays),
        HOLDS(what_stands_at_a_new_place_stays),
        HOLDS(the_longest_name_is_handed_over),
        HOLDS(a_full_disk_leaves_all_as_it_was),
    };
    return cmocka_run_group_tests_name("hand_over", tests, NULL, NULL);
}
