#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

#include "services/state/folder.h"

static struct folder_result removed(const char *root, const char *id)
{
    struct folder_result result;
    folder_remove(root, slice_of(id), &result);
    return result;
}

static bool there(const char *path)
{
    struct stat is;
    return lstat(path, &is) == 0;
}

static int setup(void **state)
{
    (void)state;
    scratch_enter("folder");
    return mkdir("root", 0700) || mkdir("beside", 0700) || mkdir("root/t1", 0700) ||
           mkdir("root/t1/in", 0700) || mkdir("root/t10", 0700);
}

static int teardown(void **state)
{
    (void)state;
    return chdir("..");
}

TEST(a_folder_goes_with_all_beneath_and_no_other)
{
    UNUSED;
    scratch_write("root/t1/in/file", "x");
    scratch_write("beside/file", "x");
    CHECK_INT(symlink("../../beside", "root/t1/link"), 0);
    CHECK_INT(removed("root", "t1").fate, FOLDER_DELETED);
    CHECK(!there("root/t1"));
    CHECK(there("root/t10"));
    CHECK(there("beside/file"));
    CHECK_INT(removed("root", "t1").fate, FOLDER_MISSING);
    CHECK_INT(removed("nowhere", "t1").fate, FOLDER_MISSING);
}

TEST(what_is_no_folder_is_left_alone)
{
    UNUSED;
    scratch_write("root/file", "x");
    scratch_write("beside/file", "x");
    CHECK_INT(symlink("../beside", "root/link"), 0);
    const struct folder_result link = removed("root", "link"), file = removed("root", "file");
    CHECK_INT(link.fate, FOLDER_FAILED);
    CHECK_INT(file.fate, FOLDER_FAILED);
    CHECK(!link.retriable && !file.retriable);
    CHECK(strstr(link.message, "symbolic link"));
    CHECK(there("root/link") && there("root/file") && there("beside/file"));
}

TEST(a_name_that_is_no_task_id_is_refused)
{
    UNUSED;
    static const char *const names[] = {
        "", ".", "..", "../beside", "t1/in", "/etc", ".t1", "a..b"
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK_INT(removed("root", names[i]).fate, FOLDER_FAILED);
    CHECK(there("beside") && there("root/t1/in"));
}

TEST(what_may_not_be_removed_says_so)
{
    UNUSED;
    scratch_write("root/t1/in/file", "x");
    CHECK_INT(chmod(".", 0755) | chmod("root", 0755) | chmod("root/t1", 0755) |
                  chmod("root/t1/in", 0755),
              0);
    const bool may_all = geteuid() == 0;
    if (may_all)
        CHECK_INT(seteuid(65534), 0);
    else
        CHECK_INT(chmod("root/t1/in", 0500), 0);
    const struct folder_result result = removed("root", "t1");
    if (may_all)
        CHECK_INT(seteuid(0), 0);
    else
        CHECK_INT(chmod("root/t1/in", 0700), 0);
    CHECK_INT(result.fate, FOLDER_FAILED);
    CHECK(!result.retriable);
    CHECK_TEXT(result.message, "Permission denied");
    CHECK(there("root/t1/in/file"));
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test##_holds, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(a_folder_goes_with_all_beneath_and_no_other),
        EACH(what_is_no_folder_is_left_alone),
        EACH(a_name_that_is_no_task_id_is_refused),
        EACH(what_may_not_be_removed_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
