#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/storage/storage_settings.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

static int check_root(const char *root, bool makes)
{
    struct settings settings = { .storage_root = root };
    return storage_check_root(&settings, makes);
}

TEST(the_low_mark_is_not_above_the_high_one)
{
    UNUSED;
    struct settings settings = { .storage_low_bytes = 5, .storage_high_bytes = 5 };
    CHECK_INT(storage_check_marks(&settings), 0);
    settings.storage_high_bytes = 4;
    CHECK_INT(storage_check_marks(&settings), -EINVAL);
}

TEST(a_root_that_is_there_is_a_folder)
{
    UNUSED;
    CHECK_INT(mkdir("root", 0777) | symlink("root", "link") | symlink("round", "round"), 0);
    scratch_write("file", "");
    static const struct {
        const char *root;
        int makes, uses;
    } rows[] = {
        { ".", 0, 0 },
        { "root", 0, 0 },
        { "root//", 0, 0 },
        { "link", 0, 0 },
        { "file", -EINVAL, -EINVAL },
        { "file/below", -EINVAL, -EINVAL },
        { "round", -EINVAL, -EINVAL },
        { "", -EINVAL, -EINVAL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_INT(check_root(rows[i].root, true), rows[i].makes);
        CHECK_INT(check_root(rows[i].root, false), rows[i].uses);
    }
}

TEST(a_root_that_is_not_there_is_made_by_who_makes_it)
{
    UNUSED;
    CHECK_INT(check_root("new", true), 0);
    CHECK_INT(check_root("a//deep/new/", true), 0);
    CHECK_INT(check_root("/gantry-nobody-has-this", false), 0);
    CHECK_INT(access("new", F_OK), -1);     /* not by looking */
    CHECK_INT(symlink("away", "mount"), 0); /* a disk that is not mounted */
    CHECK_INT(check_root("mount", true), 0);
}

TEST(a_root_that_may_not_be_written_is_no_reason_not_to_start)
{
    UNUSED;
    CHECK_INT(chmod(".", 0755), 0);
    CHECK_INT(mkdir("closed", 0777) | mkdir("closed/root", 0555) | chmod("closed", 0555), 0);
    if (geteuid() == 0)
        CHECK_INT(seteuid(65534), 0); /* root may write anything */
    const int made = check_root("closed/new/er", true);
    const int used = check_root("closed/new/er", false);
    const int there = check_root("closed/root", false);
    if (getuid() == 0)
        CHECK_INT(seteuid(0), 0);
    CHECK_INT(chmod("closed", 0755), 0);
    CHECK_INT(made | used | there, 0);
}

int main(void)
{
    scratch_enter("settings_test.d");
    const struct CMUnitTest tests[] = {
        HOLDS(the_low_mark_is_not_above_the_high_one),
        HOLDS(a_root_that_is_there_is_a_folder),
        HOLDS(a_root_that_is_not_there_is_made_by_who_makes_it),
        HOLDS(a_root_that_may_not_be_written_is_no_reason_not_to_start),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
