#include "services/state/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

static const struct usage_bounds wide = { .files_max = 1000000, .ms_max = 60000 };

/* The files of a tenth of a MiB each. */
static void fill(const char *folder, unsigned count)
{
    char command[256];
    CHECK(mkdir(folder, 0700) == 0);
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(command, sizeof command, "%s/%u", folder, i);
        FILE *file = fopen(command, "w");
        CHECK(file != NULL);
        for (unsigned k = 0; k < 100 * 1024; k++)
            CHECK(fputc('x', file) == 'x');
        CHECK_INT(fclose(file), 0);
    }
}

static int setup(void **state)
{
    (void)state;
    scratch_enter("usage_test.d");
    return mkdir("root", 0700) || mkdir("local", 0700) || mkdir("local/videos", 0700);
}

static int teardown(void **state)
{
    (void)state;
    return chdir("..");
}

TEST(sizes_read_well)
{
    UNUSED;
    char text[USAGE_TEXT];
    CHECK_TEXT(usage_text(0, text), "0 B");
    CHECK_TEXT(usage_text(1023, text), "1023 B");
    CHECK_TEXT(usage_text(1536, text), "1.5 KiB");
    CHECK_TEXT(usage_text((uint64_t)200 << 20, text), "200 MiB");
    CHECK_TEXT(usage_text(UINT64_MAX, text), "16384 PiB");
}

TEST(folders_of_tasks_are_measured_and_nothing_else)
{
    UNUSED;
    struct usage usage;
    fill("root/t1", 2);
    fill("root/t2", 1);
    fill("root/.trash", 1);
    fill("root/no task", 9);
    fill("local/videos/t2", 3);
    CHECK_INT(symlink("t1", "root/link"), 0);
    CHECK_INT(usage_measure("root", "local", &wide, &usage), 0);
    CHECK_INT(usage.tasks_count, 2);
    CHECK_TEXT(usage.tasks[0].id, "t1");
    CHECK_INT(usage.tasks[0].files, 2);
    CHECK_INT(usage.tasks[1].files, 4);
    CHECK(usage.trash_bytes > 100 * 1024 && usage.trash_bytes < 200 * 1024);
    CHECK(usage.bytes == usage.tasks[0].bytes + usage.tasks[1].bytes && !usage.partial);
    CHECK(usage.measured_ms > 0);
    usage_clear(&usage);
    CHECK_INT(usage_measure("nowhere", "nowhere", &wide, &usage), 0);
    CHECK_INT(usage.tasks_count, 0);
    CHECK_INT(usage_settle(&usage), 0);
    CHECK_INT(usage_of_user(&usage, SLICE("ann")), 0);
    usage_clear(&usage);
}

TEST(a_bound_is_met)
{
    UNUSED;
    const struct usage_bounds few = { .files_max = 3, .ms_max = 60000 };
    const struct usage_bounds late = { .files_max = 1000, .ms_max = -1 };
    struct usage usage;
    fill("root/t1", 2);
    fill("root/t2", 2);
    fill("root/t3", 2);
    CHECK_INT(usage_measure("root", "local", &few, &usage), 0);
    CHECK(usage.partial && usage.tasks_count >= 1 && usage.tasks_count < 3);
    usage_clear(&usage);
    CHECK_INT(usage_measure("root", "local", &late, &usage), 0);
    CHECK(usage.partial && usage.tasks_count == 0);
    usage_clear(&usage);
}

TEST(users_have_what_their_tasks_have)
{
    UNUSED;
    struct usage usage;
    struct usage_user top[3];
    const char *const names[] = { "t1", "t2", "t3", "t4" };
    const unsigned sizes[] = { 1, 4, 2, 5 };
    for (size_t i = 0; i < 4; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "root/%s", names[i]);
        fill(path, sizes[i]);
    }
    CHECK_INT(usage_measure("root", "local", &wide, &usage), 0);
    CHECK_INT(usage_own(&usage, SLICE("t1"), SLICE("ann")), 0);
    CHECK_INT(usage_own(&usage, SLICE("t3"), SLICE("ann")), 0);
    CHECK_INT(usage_own(&usage, SLICE("t2"), SLICE("bob")), 0);
    CHECK_INT(usage_own(&usage, SLICE("t9"), SLICE("bob")), 0);
    CHECK_INT(usage_own(&usage, SLICE("t4"), SLICE("")), 0);
    CHECK_INT(usage_settle(&usage), 0);
    CHECK_TEXT(usage.tasks[0].id, "t4");
    CHECK_TEXT(usage.tasks[3].id, "t1");
    CHECK_INT(usage.users_count, 2);
    CHECK_INT(usage_of_user(&usage, SLICE("ann")), usage.tasks[2].bytes + usage.tasks[3].bytes);
    CHECK_INT(usage_of_user(&usage, SLICE("bob")), usage.tasks[1].bytes);
    CHECK_INT(usage_of_user(&usage, SLICE("bo")), 0);
    CHECK_INT(usage_of_user(&usage, SLICE("bobby")), 0);
    CHECK_INT(usage_of_user(&usage, SLICE("")), 0);
    CHECK_INT(usage_top_users(&usage, top, 3), 2);
    CHECK_TEXT(top[0].owner, "bob");
    CHECK_INT(top[1].tasks, 2);
    CHECK_INT(usage_top_users(&usage, top, 1), 1);
    CHECK_TEXT(top[0].owner, "bob");
    CHECK_INT(usage_top_users(&usage, top, 0), 0);
    usage_clear(&usage);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test##_holds, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(sizes_read_well),
        EACH(folders_of_tasks_are_measured_and_nothing_else),
        EACH(a_bound_is_met),
        EACH(users_have_what_their_tasks_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
