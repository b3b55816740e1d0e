#include "services/worker/folder_list.h"

#include "common/status.h"
#include "common/storage/tree.h"
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOP "folder_list_test.tmp"

static void put(const char *name, const char *content)
{
    FILE *file = fopen(name, "we");
    CHECK(file != NULL);
    fputs(content, file);
    (void)fclose(file);
}

static int anew(void **state)
{
    (void)state;
    return tree_remove(AT_FDCWD, TOP) || mkdir(TOP, 0777) || mkdir(TOP "/a", 0777);
}

static int end(void **state)
{
    (void)state;
    return tree_remove(AT_FDCWD, TOP);
}

TEST(files_come_in_the_order_of_their_names)
{
    UNUSED;
    struct folder_list list = { .count = 0 };
    char why[128] = "";
    put(TOP "/a/b", "12");
    put(TOP "/a.txt", "123");
    put(TOP "/z", "");
    CHECK_INT(folder_list_read(TOP, 3, &list, why, sizeof why), 0);
    CHECK_INT(list.count, 3);
    CHECK_INT(list.bytes, 5);
    CHECK_TEXT(folder_list_name(&list, 0), "a.txt");
    CHECK_TEXT(folder_list_name(&list, 1), "a/b");
    CHECK_TEXT(folder_list_name(&list, 2), "z");
    CHECK(folder_list_find(&list, "a/b") == &list.items[1]);
    CHECK(folder_list_find(&list, "a/c") == NULL);
    folder_list_clear(&list);
    CHECK_INT(folder_list_read(TOP, 2, &list, why, sizeof why), STATUS_TOO_LARGE);
    folder_list_clear(&list);
}

TEST(many_files_are_all_there)
{
    UNUSED;
    struct folder_list list = { .count = 0 };
    char name[64];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "%04d", i);
        CHECK_INT(folder_list_add(&list, name, 1), 0);
    }
    CHECK_INT(list.count, 1000);
    CHECK_TEXT(folder_list_name(&list, (size_t)(folder_list_find(&list, "0777") - list.items)),
               "0777");
    folder_list_clear(&list);
}

TEST(what_cannot_be_uploaded_whole_is_named)
{
    UNUSED;
    struct folder_list list = { .count = 0 };
    char why[128] = "";
    CHECK_INT(folder_list_read(TOP, 9, &list, why, sizeof why), STATUS_INVALID);
    folder_list_clear(&list);
    CHECK_INT(symlink("/etc", TOP "/a/link"), 0);
    CHECK_INT(folder_list_read(TOP, 9, &list, why, sizeof why), STATUS_UNSUPPORTED);
    CHECK(strstr(why, "a/link"));
    folder_list_clear(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_come_in_the_order_of_their_names_holds, anew, end),
        HOLDS(many_files_are_all_there),
        cmocka_unit_test_setup_teardown(what_cannot_be_uploaded_whole_is_named_holds, anew, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
