#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

#include "common/storage/storage.h"

static struct storage_removal removed(const char *root, const char *id)
{
    struct storage_removal result;
    storage_remove(root, slice_of(id), &result);
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
    scratch_enter("remove_test.d");
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
    CHECK_INT(removed("root", "t1").fate, STORAGE_REMOVED);
    CHECK(!there("root/t1"));
    CHECK(there("root/t10"));
    CHECK(there("beside/file"));
    CHECK_INT(rmdir("root/.trash"), 0); /* nothing is left in it */
    CHECK_INT(removed("root", "t1").fate, STORAGE_MISSING);
    CHECK_INT(removed("nowhere", "t1").fate, STORAGE_MISSING);
}

TEST(what_migration_knew_of_it_goes_too)
{
    UNUSED;
    CHECK_INT(mkdir("root/.migrated", 0700), 0);
    scratch_write("root/.migrated/t1.jsonl", "x");
    scratch_write("root/.migrated/t10.jsonl", "x");
    scratch_write("root/.migrated/t2.jsonl", "x");
    scratch_write("root/.migrated/file.jsonl", "x");
    scratch_write("root/file", "x");
    CHECK_INT(removed("root", "t1").fate, STORAGE_REMOVED);
    CHECK_INT(removed("root", "t2").fate, STORAGE_MISSING); /* its folder had gone by hand */
    CHECK_INT(removed("root", "file").fate, STORAGE_FAILED);
    CHECK(!there("root/.migrated/t1.jsonl") && !there("root/.migrated/t2.jsonl"));
    CHECK(there("root/.migrated/t10.jsonl") && there("root/.migrated/file.jsonl"));
}

TEST(what_migration_knew_is_not_looked_for_behind_a_link)
{
    UNUSED;
    scratch_write("beside/t1.jsonl", "x");
    CHECK_INT(symlink("../beside", "root/.migrated"), 0);
    CHECK_INT(removed("root", "t1").fate, STORAGE_REMOVED);
    CHECK(there("beside/t1.jsonl"));
}

TEST(what_is_no_folder_is_left_alone)
{
    UNUSED;
    scratch_write("root/file", "x");
    scratch_write("beside/file", "x");
    CHECK_INT(symlink("../beside", "root/link"), 0);
    const struct storage_removal link = removed("root", "link"), file = removed("root", "file");
    CHECK_INT(link.fate, STORAGE_FAILED);
    CHECK_INT(file.fate, STORAGE_FAILED);
    CHECK(!link.retriable && !file.retriable);
    CHECK(strstr(link.message, "symbolic link"));
    CHECK(there("root/link") && there("root/file") && there("beside/file"));
}

TEST(a_name_that_is_no_task_id_is_refused)
{
    UNUSED;
    static const char *const names[] = { "",  ".",    "..",  "../beside", "t1/in", "t1/",
                                         "/", "/etc", ".t1", ".trash",    "a..b",  "./t1" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK_INT(removed("root", names[i]).fate, STORAGE_FAILED);
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
    const struct storage_removal result = removed("root", "t1");
    if (may_all)
        CHECK_INT(seteuid(0), 0);
    else
        CHECK_INT(chmod("root/t1/in", 0700), 0);
    CHECK_INT(result.fate, STORAGE_FAILED);
    CHECK(!result.retriable);
    CHECK_TEXT(result.message, "Permission denied");
    CHECK(there("root/t1/in/file"));
}

/* The root itself is no task's folder, however it is spelt, and "root" is not "root-x". */
TEST(the_root_and_what_only_begins_like_it_are_left_alone)
{
    UNUSED;
    static const char *const names[] = { "", ".", "..", "./", "../root", "root" };
    CHECK_INT(mkdir("root-x", 0700) | mkdir("root-x/t1", 0700), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK(removed("root", names[i]).fate != STORAGE_REMOVED);
    CHECK_INT(removed("root", "t1-x").fate, STORAGE_MISSING);
    CHECK_INT(removed("root", "t").fate, STORAGE_MISSING);
    CHECK_INT(removed("root/t1", "t1").fate, STORAGE_MISSING);
    CHECK(there("root/t1/in") && there("root/t10") && there("root-x/t1"));
}

TEST(a_trash_that_is_a_link_takes_nothing)
{
    UNUSED;
    CHECK_INT(symlink("../beside", "root/.trash"), 0);
    CHECK_INT(removed("root", "t1").fate, STORAGE_FAILED);
    CHECK(there("root/t1/in"));
    CHECK_INT(rmdir("beside"), 0);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test##_holds, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(a_folder_goes_with_all_beneath_and_no_other),
        EACH(what_migration_knew_of_it_goes_too),
        EACH(what_migration_knew_is_not_looked_for_behind_a_link),
        EACH(what_is_no_folder_is_left_alone),
        EACH(a_name_that_is_no_task_id_is_refused),
        EACH(what_may_not_be_removed_says_so),
        EACH(the_root_and_what_only_begins_like_it_are_left_alone),
        EACH(a_trash_that_is_a_link_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
