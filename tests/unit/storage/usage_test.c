#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scoped.h"
#include "common/storage/storage.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

static uint64_t blocks(const char *path)
{
    struct stat info;
    CHECK_INT(lstat(path, &info), 0);
    return (uint64_t)info.st_blocks * 512;
}

static void write_bytes(const char *path, size_t size)
{
    static char bytes[65536];
    scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    memset(bytes, 'x', sizeof bytes);
    CHECK_INT(write(fd, bytes, size), size);
    CHECK_INT(fsync(fd), 0);
}

TEST(usage_is_what_lies_on_the_disk)
{
    UNUSED;
    struct storage_usage usage = { 9, 9 };
    CHECK_INT(mkdir("t1", 0700) | mkdir("t1/deep", 0700) | mkdir("t1/tmp", 0700), 0);
    scoped_fd int folder = open("t1", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(storage_usage(folder, &usage), 0);
    CHECK_INT(usage.files, 0);
    CHECK_INT(usage.bytes, blocks("t1") + blocks("t1/deep") + blocks("t1/tmp"));

    write_bytes("t1/deep/a", 60000);
    write_bytes("t1/tmp/b", 30000);
    CHECK_INT(truncate("t1/deep/a", 1 << 30), 0); /* a hole takes no room */
    CHECK_INT(link("t1/deep/a", "t1/a2") | link("t1/deep/a", "t1/tmp/a3"), 0);
    CHECK_INT(symlink("/usr", "t1/link"), 0);
    const uint64_t kept =
        blocks("t1") + blocks("t1/deep") + blocks("t1/deep/a") + blocks("t1/link");
    CHECK_INT(storage_usage(folder, &usage), 0);
    CHECK_INT(usage.files, 3); /* a of three names, b, the link */
    CHECK_INT(usage.bytes, kept + blocks("t1/tmp") + blocks("t1/tmp/b"));
    CHECK_INT(storage_usage_kept(folder, &usage), 0);
    CHECK_INT(usage.files, 2);
    CHECK_INT(usage.bytes, kept);
}

TEST(many_names_of_many_files_count_once)
{
    UNUSED;
    struct storage_usage usage = { 0 };
    char first[32], second[32];
    CHECK_INT(mkdir("many", 0700), 0);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(first, sizeof first, "many/%d", i);
        (void)snprintf(second, sizeof second, "many/%d.too", i);
        scratch_write(first, "x");
        CHECK_INT(link(first, second), 0);
    }
    scoped_fd int folder = open("many", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(storage_usage(folder, &usage), 0);
    CHECK_INT(usage.files, 200);
}

TEST(usage_of_no_folder_is_an_error)
{
    UNUSED;
    struct storage_usage usage = { 7, 7 };
    CHECK(storage_usage(-1, &usage) < 0);
    CHECK_INT(usage.bytes, 7);
}

TEST(space_is_what_the_file_system_says)
{
    UNUSED;
    struct storage_space space = { 0 };
    CHECK_INT(storage_space(".", &space), 0);
    CHECK(space.total > 0 && space.available <= space.total);
    CHECK_INT(storage_space("nowhere", &space), -ENOENT);
}

int main(void)
{
    scratch_enter("usage_test.d");
    const struct CMUnitTest tests[] = {
        HOLDS(usage_is_what_lies_on_the_disk),
        HOLDS(many_names_of_many_files_count_once),
        HOLDS(usage_of_no_folder_is_an_error),
        HOLDS(space_is_what_the_file_system_says),
    };
    return cmocka_run_group_tests_name("usage", tests, NULL, NULL);
}
