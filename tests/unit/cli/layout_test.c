#include "services/cli/layout.h"

#include "common/config.h"
#include "common/scoped.h"
#include "tests/unit/test.h"

#include <string.h>
#include <sys/stat.h>

static struct layout make(const char *dir)
{
    struct layout layout;
    CHECK_INT(layout_make(dir, &layout), 0);
    return layout;
}

TEST(a_short_folder_has_absolute_sockets)
{
    UNUSED;
    struct layout layout = { .dir = "/srv/gantry" };
    char text[LAYOUT_ENDPOINT];
    CHECK_TEXT(layout_endpoint(&layout, "clients", text), "ipc:///srv/gantry/run/clients");
    CHECK_TEXT(layout_redis(&layout, text), "/srv/gantry/run/redis.sock");
}

TEST(sockets_of_a_deep_folder_are_relative_and_short)
{
    UNUSED;
    char deep[PATH_MAX] = "layout_test.d";
    char text[LAYOUT_ENDPOINT];
    (void)mkdir(deep, 0755);
    for (int i = 0; i < 12; i++) {
        strncat(deep, "/a-folder-with-a-name", sizeof deep - strlen(deep) - 1);
        (void)mkdir(deep, 0755);
    }
    struct layout layout = make(deep);
    CHECK(layout.relative);
    CHECK_TEXT(layout_endpoint(&layout, "clients", text), "ipc://run/clients");
    CHECK_TEXT(layout_redis(&layout, text), "./run/redis.sock");
}

TEST(a_comma_in_the_name_is_kept_out_of_lists)
{
    UNUSED;
    (void)mkdir("layout_test.d", 0755);
    struct layout layout = make("layout_test.d/a,b");
    CHECK(layout.relative);
}

TEST(settings_read_back_as_written)
{
    UNUSED;
    static const char odd[] = "/a folder/with \"quotes\", \\ and: # signs\x01";
    const struct layout_setting settings[] = {
        { "storage.root", odd },
        { "lease_ms", "5000" },
        { "worker.slots", NULL },
        { "worker.services", "system" },
    };
    char file[PATH_MAX];
    char error[CONFIG_ERROR] = "";
    char *none[] = { NULL };
    (void)mkdir("layout_test.d", 0755);
    struct layout layout = make("layout_test.d/data");
    CHECK_INT(layout_write_settings(&layout, settings, sizeof settings / sizeof *settings), 0);
    CHECK(layout_path(&layout, "gantry.yaml", file));

    scoped(config) config = NULL;
    int r = config_load(&config, file, 0, none, USED_BY_ALL, error);
    CHECK_TEXT(error, "");
    CHECK_INT(r, 0);
    CHECK_TEXT(config_settings(config)->storage_root, odd);
    CHECK_TEXT(config_settings(config)->worker_services, "system");
    CHECK_INT(config_settings(config)->lease_ms, 5000);
    CHECK_INT(config_settings(config)->worker_slots, 2);
}

TEST(a_missing_folder_is_told)
{
    UNUSED;
    struct layout layout;
    CHECK_INT(layout_find("layout_test.d/none", &layout), -2);
    CHECK_INT(layout_make("layout_test.d/none/deeper", &layout), -2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_short_folder_has_absolute_sockets),
        HOLDS(sockets_of_a_deep_folder_are_relative_and_short),
        HOLDS(a_comma_in_the_name_is_kept_out_of_lists),
        HOLDS(settings_read_back_as_written),
        HOLDS(a_missing_folder_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
