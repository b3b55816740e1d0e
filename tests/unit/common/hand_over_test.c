#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/paths.h"
#include "common/scoped.h"
#include "common/tree.h"
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
    CHECK_INT(paths_hand_over(from, to), 0);
    check_file(to, "one");
    CHECK(!exists(from));

    scratch_write(from, "two"); /* a file over a file */
    CHECK_INT(paths_hand_over(from, to), 0);
    check_file(to, "two");

    make_tree(from); /* a folder over a file */
    CHECK_INT(paths_hand_over(from, to), 0);
    check_tree(to);
    CHECK(!exists(from));

    scratch_write("place/out/old", "old");
    make_tree(from); /* a folder over a folder with something in it */
    CHECK_INT(paths_hand_over(from, to), 0);
    check_tree(to);
    CHECK(!exists("place/out/old"));

    scratch_write(from, "three"); /* a file over a folder */
    CHECK_INT(paths_hand_over(from, to), 0);
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
    CHECK_INT(paths_hand_over("near/none", "place/out"), -ENOENT);
    scratch_write("near/out", "x");
    CHECK_INT(paths_hand_over("near/out", "place/none/out"), -ENOENT);
    check_file("near/out", "x");
    CHECK_INT(symlink("/etc/passwd", "near/link"), 0);
    CHECK_INT(paths_hand_over("near/link", "place/out"), -ELOOP);
    CHECK(!exists("place/out"));
    if (!far_mounted)
        return;
    CHECK_INT(mkdir("far/tree", 0700) | mkfifo("far/tree/fifo", 0600), 0);
    CHECK_INT(paths_hand_over("far/tree", "place/out"), -EINVAL);
    CHECK(exists("far/tree/fifo"));
    CHECK_INT(rmdir("place"), 0); /* no half of it was left */
    CHECK_INT(mkdir("place", 0700), 0);
}

TEST(a_copy_has_every_byte)
{
    UNUSED;
    static char bytes[300000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    FILE *file = fopen("near/big", "we");
    CHECK(file && fwrite(bytes, 1, sizeof bytes, file) == sizeof bytes && fclose(file) == 0);
    CHECK_INT(tree_copy("near/big", "place/big"), 0);
    static char copy[sizeof bytes + 1];
    file = fopen("place/big", "re");
    CHECK(file && fread(copy, 1, sizeof copy, file) == sizeof bytes && fclose(file) == 0);
    assert_memory_equal(copy, bytes, sizeof bytes);
    CHECK_INT(tree_copy("near/big", "place/big"), -EEXIST);
    CHECK_INT(tree_copy("near/none", "place/none"), -ENOENT);
    /* Files of /proc say they are empty, and the kernel will not copy them. */
    CHECK_INT(tree_copy("/proc/self/status", "place/status"), 0);
    scoped_text char *status = scratch_read("place/status");
    CHECK(strstr(status, "Name:"));
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
        HOLDS(a_copy_has_every_byte),
    };
    return cmocka_run_group_tests_name("hand_over", tests, NULL, NULL);
}
