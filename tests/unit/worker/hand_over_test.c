#include "services/worker/hand_over.h"

#include "common/status.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

#include <stdint.h>

static char root[PATH_MAX], work[PATH_MAX];
static uint64_t bytes_max; /* 0: no limit */

static int enter(void **state_)
{
    (void)state_;
    scratch_enter("hand_over_worker.d");
    return getcwd(root, sizeof root) && snprintf(work, sizeof work, "%s/work", root) > 0 ? 0 : -1;
}

static int again(void **state_)
{
    (void)state_;
    bytes_max = 0;
    if (chdir(root) || tree_remove(AT_FDCWD, "folder") || tree_remove(AT_FDCWD, "work"))
        return -1;
    return mkdir("folder", 0700) || mkdir("work", 0700) ? -1 : 0;
}

static int give(struct slice files, int64_t until_ms, struct fault *fault)
{
    char folder[PATH_MAX + 8];
    (void)snprintf(folder, sizeof folder, "%s/folder", root);
    const struct hand_over row = { work, folder, files, until_ms, bytes_max };
    return hand_over(&row, fault);
}

TEST(files_and_folders_come_to_their_place)
{
    UNUSED;
    struct fault fault = { 0 };
    scratch_write("work/a", "new");
    CHECK_INT(mkdir("work/d", 0700), 0);
    scratch_write("work/d/x", "inside");
    CHECK_INT(mkdir("folder/out", 0700), 0);
    scratch_write("folder/out/a", "old");
    CHECK_INT(give(SLICE("\x92\x92\xa1"
                         "a\xa5out/a\x92\xa1"
                         "d\xa3"
                         "b/c"),
                   INT64_MAX, &fault),
              0);
    char *text = scratch_read("folder/out/a");
    CHECK_TEXT(text, "new");
    free(text);
    text = scratch_read("folder/b/c/x");
    CHECK_TEXT(text, "inside");
    free(text);
    CHECK_INT(access("work/a", F_OK), -1);
}

TEST(nothing_is_nothing)
{
    UNUSED;
    struct fault fault = { 0 };
    CHECK_INT(give((struct slice){ NULL, 0 }, INT64_MAX, &fault), 0);
    CHECK_INT(give(SLICE("\x90"), INT64_MAX, &fault), 0);
}

TEST(after_the_lease_nothing_moves)
{
    UNUSED;
    struct fault fault = { 0 };
    scratch_write("work/a", "late");
    CHECK_INT(give(SLICE("\x91\x92\xa1"
                         "a\xa1"
                         "a"),
                   1, &fault),
              STATUS_STALE);
    CHECK_INT(access("folder/a", F_OK), -1);
}

TEST(no_path_leads_out)
{
    UNUSED;
    static const struct {
        struct slice files;
        int code;
    } rows[] = {
        { SLICE_INIT("\x91\x92\xa1"
                     "a\xa4../x"),
          STATUS_INVALID },
        { SLICE_INIT("\x91\x92\xa1"
                     "a\xa2/x"),
          STATUS_INVALID },
        { SLICE_INIT("\x91\x92\xa1"
                     "a\xa0"),
          STATUS_INVALID },
        { SLICE_INIT("\x91\x92\xa1"
                     "a\xa2x/"),
          STATUS_INVALID },
        { SLICE_INIT("\x91\x92\xa1"
                     "a\xa4x//y"),
          STATUS_INVALID },
        { SLICE_INIT("\x91\x92\xa1"
                     "a\xa3tmp"),
          STATUS_INVALID },
        { SLICE_INIT("\x91\x92\xa1"
                     "a\xa5tmp/x"),
          STATUS_INVALID },
        { SLICE_INIT("\x91\x92\xa1"
                     "a\xa3x\0y"),
          STATUS_INVALID },
        { SLICE_INIT("\x91\x92\xa4../a\xa1"
                     "a"),
          STATUS_INVALID },
        { SLICE_INIT("\x91\x92\xa4link\xa1"
                     "a"),
          STATUS_NOT_FOUND },
        { SLICE_INIT("\x91\x92\xa2no\xa1"
                     "a"),
          STATUS_NOT_FOUND },
        { SLICE_INIT("\x91\x91\xa1"
                     "a"),
          STATUS_INVALID },
        { SLICE_INIT("\x91\x93\xa1"
                     "a\xa1"
                     "a\xa1"
                     "a"),
          STATUS_INVALID },
        { SLICE_INIT("\x91\xa1"
                     "a"),
          STATUS_INVALID },
        { SLICE_INIT("\x05"), STATUS_INVALID },
    };
    scratch_write("work/a", "x");
    scratch_write("secret", "x");
    CHECK_INT(symlink("../secret", "work/link"), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fault fault = { 0 };
        CHECK_INT(give(rows[i].files, INT64_MAX, &fault), rows[i].code);
        CHECK_INT(fault.code, rows[i].code);
        CHECK(fault.message[0]);
        CHECK_INT(access("work/a", F_OK), 0);
    }
}

TEST(a_link_on_the_way_is_not_followed)
{
    UNUSED;
    struct fault fault = { 0 };
    scratch_write("work/a", "x");
    CHECK_INT(symlink("..", "folder/away"), 0);
    CHECK(give(SLICE("\x91\x92\xa1"
                     "a\xa6"
                     "away/a"),
               INT64_MAX, &fault) < 0);
    CHECK_INT(access("a", F_OK), -1);
}

static uint64_t blocks(const char *path)
{
    struct stat info;
    CHECK_INT(lstat(path, &info), 0);
    return (uint64_t)info.st_blocks * 512;
}

TEST(a_folder_grows_to_its_limit_and_not_by_a_byte_more)
{
    UNUSED;
    struct fault fault = { 0 };
    const struct slice files = SLICE("\x91\x92\xa1"
                                     "d\xa3"
                                     "new");
    CHECK_INT(mkdir("work/d", 0700) | mkdir("folder/tmp", 0700) | mkdir("folder/new", 0700), 0);
    scratch_write("work/d/a", "made");
    scratch_write("folder/kept", "kept");
    scratch_write("folder/new/a", "replaced");
    scratch_write("folder/tmp/half", "of another");
    bytes_max =
        blocks("folder") + blocks("folder/kept") + blocks("work/d") + blocks("work/d/a") - 1;
    CHECK_INT(give(files, INT64_MAX, &fault), STATUS_TOO_LARGE);
    CHECK(strstr(fault.message, "quota.task_bytes"));
    CHECK_INT(access("work/d/a", F_OK), 0);
    char *text = scratch_read("folder/new/a");
    CHECK_TEXT(text, "replaced");
    free(text);
    bytes_max++;
    CHECK_INT(give(files, INT64_MAX, &fault), 0);
    text = scratch_read("folder/new/a");
    CHECK_TEXT(text, "made");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(files_and_folders_come_to_their_place_holds, again),
        cmocka_unit_test_setup(nothing_is_nothing_holds, again),
        cmocka_unit_test_setup(after_the_lease_nothing_moves_holds, again),
        cmocka_unit_test_setup(no_path_leads_out_holds, again),
        cmocka_unit_test_setup(a_link_on_the_way_is_not_followed_holds, again),
        cmocka_unit_test_setup(a_folder_grows_to_its_limit_and_not_by_a_byte_more_holds, again),
    };
    return cmocka_run_group_tests(tests, enter, NULL);
}
