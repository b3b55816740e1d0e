#include "common/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "common/status.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

static char error[CONFIG_ERROR];

/* Loads the file's text (NULL: no file) and the flags, as many as there are up to NULL. */
static int load(config_t **ret_config, const char *text, unsigned used_by, char *first,
                char *second)
{
    char *argv[] = { first, second, NULL };
    int argc = first ? (second ? 2 : 1) : 0;
    if (text)
        scratch_write("gantry.yaml", text);
    memset(error, 0, sizeof error);
    return config_load(ret_config, text ? "gantry.yaml" : NULL, argc, argv, used_by, error);
}

static char *flag(const char *text)
{
    static char copies[4][128];
    static unsigned next;
    char *copy = copies[next++ % 4];
    (void)snprintf(copy, sizeof copies[0], "%s", text);
    return copy;
}

TEST(every_setting_has_its_default)
{
    UNUSED;
    scoped(config) config = NULL;
    CHECK_INT(load(&config, NULL, USED_BY_ALL, NULL, NULL), 0);
    const struct settings *s = config_settings(config);
#define SETTING_TEXT(field, name, fallback, env, used, doc) CHECK_TEXT(s->field, fallback);
#define SETTING_WHOLE(field, name, fallback, least, most, env, used, doc) \
    CHECK_INT(s->field, fallback);                                        \
    CHECK((fallback) >= (least) && (fallback) <= (most));
#define SETTING_SWITCH(field, name, fallback, env, used, doc) CHECK_INT(s->field, fallback);
    SETTINGS(SETTING_TEXT, SETTING_WHOLE, SETTING_SWITCH)
#undef SETTING_TEXT
#undef SETTING_WHOLE
#undef SETTING_SWITCH
}

TEST(an_empty_file_is_a_file)
{
    UNUSED;
    const char *const texts[] = { "", "# nothing\n", "{}\n" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        scoped(config) config = NULL;
        CHECK_INT(load(&config, texts[i], USED_BY_ALL, NULL, NULL), 0);
        CHECK_INT(config_settings(config)->redis_db, 0);
    }
}

TEST(the_last_source_wins)
{
    UNUSED;
    const char *file = "storage.root: /file\nredis.db: 1\n";
    {
        scoped(config) config = NULL;
        CHECK_INT(load(&config, file, USED_BY_STATE, NULL, NULL), 0);
        CHECK_TEXT(config_settings(config)->storage_root, "/file");
        CHECK_INT(config_settings(config)->redis_db, 1);
    }
    CHECK_INT(setenv("REDIS_DB", "2", 1), 0);
    CHECK_INT(setenv("GANTRY_STORAGE_ROOT", "/environment", 1), 0);
    {
        scoped(config) config = NULL;
        CHECK_INT(load(&config, file, USED_BY_STATE, NULL, NULL), 0);
        CHECK_TEXT(config_settings(config)->storage_root, "/environment");
        CHECK_INT(config_settings(config)->redis_db, 2);
    }
    CHECK_INT(setenv("GANTRY_REDIS_DB", "3", 1), 0); /* ours before the extra name */
    {
        scoped(config) config = NULL;
        CHECK_INT(load(&config, file, USED_BY_STATE, flag("--storage-root=/flag"), NULL), 0);
        CHECK_TEXT(config_settings(config)->storage_root, "/flag");
        CHECK_INT(config_settings(config)->redis_db, 3);
    }
    {
        scoped(config) config = NULL;
        CHECK_INT(load(&config, file, USED_BY_STATE, flag("--redis-db"), flag("4")), 0);
        CHECK_INT(config_settings(config)->redis_db, 4);
    }
    (void)unsetenv("REDIS_DB");
    (void)unsetenv("GANTRY_REDIS_DB");
    (void)unsetenv("GANTRY_STORAGE_ROOT");
}

TEST(the_extra_names_of_the_environment_work)
{
    UNUSED;
    CHECK_INT(setenv("REDIS_ADDR", "redis:6380", 1), 0);
    CHECK_INT(setenv("REDIS_PASSWORD", "s=e c", 1), 0);
    CHECK_INT(setenv("REDIS_DB", "7", 1), 0);
    CHECK_INT(setenv("LOCAL_STORAGE_PATH", "/mnt/local", 1), 0);
    scoped(config) config = NULL;
    CHECK_INT(load(&config, NULL, USED_BY_STATE | USED_BY_WORKER, NULL, NULL), 0);
    (void)unsetenv("REDIS_ADDR"); /* what was read does not hang on the environment */
    (void)unsetenv("REDIS_PASSWORD");
    (void)unsetenv("REDIS_DB");
    (void)unsetenv("LOCAL_STORAGE_PATH");
    CHECK_TEXT(config_settings(config)->redis_addr, "redis:6380");
    CHECK_TEXT(config_settings(config)->redis_password, "s=e c");
    CHECK_INT(config_settings(config)->redis_db, 7);
    CHECK_TEXT(config_settings(config)->storage_local, "/mnt/local");
}

TEST(another_programs_environment_is_not_read)
{
    UNUSED;
    CHECK_INT(setenv("REDIS_DB", "nonsense", 1), 0);
    scoped(config) config = NULL;
    CHECK_INT(load(&config, NULL, USED_BY_BROKER, NULL, NULL), 0);
    (void)unsetenv("REDIS_DB");
}

TEST(a_switch_needs_no_value)
{
    UNUSED;
    const struct {
        const char *text;
        const char *flag;
        int64_t on;
    } rows[] = {
        { NULL, "--broker-insecure", 1 },
        { NULL, "--broker-insecure=true", 1 },
        { "broker.insecure: true\n", "--broker-insecure=false", 0 },
        { "broker.insecure: true\n", NULL, 1 },
        { "broker.insecure: false\n", NULL, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        scoped(config) config = NULL;
        char *argument = rows[i].flag ? flag(rows[i].flag) : NULL;
        CHECK_INT(load(&config, rows[i].text, USED_BY_BROKER, argument, NULL), 0);
        CHECK_INT(config_settings(config)->broker_insecure, rows[i].on);
    }
}

TEST(a_file_may_hold_settings_of_other_programs)
{
    UNUSED;
    scoped(config) config = NULL;
    CHECK_INT(load(&config, "worker.slots: 9\nlog.level: warn\n", USED_BY_BROKER, NULL, NULL), 0);
    CHECK_TEXT(config_settings(config)->log_level, "warn");
}

TEST(bounds_are_within)
{
    UNUSED;
    const char *const texts[] = { "limits.batch: 1\n", "limits.batch: 1024\n",
                                  "limits.batch: 0001\n" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        scoped(config) config = NULL;
        CHECK_INT(load(&config, texts[i], USED_BY_BROKER, NULL, NULL), 0);
    }
}

TEST(a_wrong_file_is_refused_with_its_line)
{
    UNUSED;
    const struct {
        const char *text;
        const char *sentence;
    } rows[] = {
        { "redis.db: 1\n\nfoo: 1\n", "gantry.yaml:3:1: no setting is named 'foo'" },
        { "foo: 1\n", "gantry.yaml:1:1: no setting is named 'foo'" },
        { "storage:\n  root: /x\n",
          "gantry.yaml:1:1: no setting is named 'storage'; names are written "
          "in full, as in 'storage.root: VALUE'" },
        { "redis.db: 1\nredis.db: 2\n", "gantry.yaml:2:1: 'redis.db' is set a second time" },
        { "redis.db: 1\nstorage.root: [a]\n",
          "gantry.yaml:2:1: storage.root must be one plain value" },
        { "storage.root: {a: 1}\n", "gantry.yaml:1:1: storage.root must be one plain value" },
        { "redis.addr: &x a\nredis.password: *x\n",
          "gantry.yaml:2:1: YAML alias unsupported, in redis.password or on the line after it" },
        { "- a\n", "gantry.yaml: settings are written one a line as 'name: value'" },
        { "text\n", "gantry.yaml: settings are written one a line as 'name: value'" },
        { "redis.db: 1\n---\nredis.db: 2\n", "gantry.yaml: holds more than one YAML document" },
        { "redis.db: 1024\n",
          "gantry.yaml:1: redis.db must be a whole number from 0 to 1023, not '1024'" },
        { "# one\nlimits.batch: 0\n",
          "gantry.yaml:2: limits.batch must be a whole number from 1 to 1024, not '0'" },
        { "limits.batch: 1k\n",
          "gantry.yaml:1: limits.batch must be a whole number from 1 to 1024, not '1k'" },
        { "limits.batch: -1\n",
          "gantry.yaml:1: limits.batch must be a whole number from 1 to 1024, not '-1'" },
        { "limits.batch: 1.0\n",
          "gantry.yaml:1: limits.batch must be a whole number from 1 to 1024, not '1.0'" },
        { "limits.batch:\n",
          "gantry.yaml:1: limits.batch must be a whole number from 1 to 1024, not ''" },
        { "limits.batch: 99999999999999999999\n",
          "gantry.yaml:1: limits.batch must be a whole number from 1 to 1024, not "
          "'99999999999999999999'" },
        { "broker.insecure: yes\n",
          "gantry.yaml:1: broker.insecure must be true or false, not 'yes'" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        scoped(config) config = NULL;
        CHECK_INT(load(&config, rows[i].text, USED_BY_BROKER, NULL, NULL), STATUS_INVALID);
        CHECK_TEXT(error, rows[i].sentence);
        CHECK(!config);
    }
}

TEST(a_file_that_is_no_yaml_is_refused)
{
    UNUSED;
    const char *const texts[] = { "storage.root: \"x\n", "\tredis.db: 1\n", "redis.db: @\n", "{\n",
                                  "redis.db: 1\n  x: 2\n" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        scoped(config) config = NULL;
        CHECK_INT(load(&config, texts[i], USED_BY_ALL, NULL, NULL), STATUS_INVALID);
        CHECK(strncmp(error, "gantry.yaml:", 12) == 0);
        CHECK(strlen(error) > 20);
    }
}

TEST(a_file_that_cannot_be_read_is_named)
{
    UNUSED;
    scoped(config) config = NULL;
    CHECK_INT(config_load(&config, "missing.yaml", 0, NULL, USED_BY_ALL, error), -ENOENT);
    CHECK_TEXT(error, "missing.yaml: cannot be read: No such file or directory");
    CHECK_INT(config_load(&config, ".", 0, NULL, USED_BY_ALL, error), -EISDIR);
    CHECK_INT(config_load(&config, "/dev/zero", 0, NULL, USED_BY_ALL, error), STATUS_INVALID);
    CHECK_TEXT(error, "/dev/zero: larger than 1 MiB, which no file of settings is");
}

TEST(a_wrong_flag_is_named)
{
    UNUSED;
    const struct {
        const char *flag;
        int result;
        const char *sentence;
    } rows[] = {
        { "--nonsense", STATUS_INVALID, "--nonsense: there is no such flag" },
        { "--", STATUS_INVALID, "--: there is no such flag" },
        { "-x", STATUS_INVALID, "-x: not understood: only flags are" },
        { "word", STATUS_INVALID, "word: not understood: only flags are" },
        { "--limits-batch", STATUS_INVALID, "--limits-batch: the value is missing" },
        { "--limits.batch=3", STATUS_INVALID, "--limits.batch=3: there is no such flag" },
        { "--redis-db=1", STATUS_INVALID, "--redis-db=1: this program does not read that setting" },
        { "--limits-batch=1025", STATUS_INVALID,
          "--limits-batch: limits.batch must be a whole number from 1 to 1024, not '1025'" },
        { "--limits-batch=", STATUS_INVALID,
          "--limits-batch: limits.batch must be a whole number from 1 to 1024, not ''" },
        { "--broker-insecure=1", STATUS_INVALID,
          "--broker-insecure: broker.insecure must be true or false, not '1'" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        scoped(config) config = NULL;
        CHECK_INT(load(&config, NULL, USED_BY_BROKER, flag(rows[i].flag), NULL), rows[i].result);
        CHECK_TEXT(error, rows[i].sentence);
    }
}

TEST(a_wrong_environment_is_named)
{
    UNUSED;
    scoped(config) config = NULL;
    CHECK_INT(setenv("REDIS_DB", "x", 1), 0);
    CHECK_INT(load(&config, NULL, USED_BY_STATE, NULL, NULL), STATUS_INVALID);
    CHECK_TEXT(error, "REDIS_DB: redis.db must be a whole number from 0 to 1023, not 'x'");
    CHECK_INT(setenv("GANTRY_REDIS_DB", " 1", 1), 0);
    CHECK_INT(load(&config, NULL, USED_BY_STATE, NULL, NULL), STATUS_INVALID);
    CHECK_TEXT(error, "GANTRY_REDIS_DB: redis.db must be a whole number from 0 to 1023, not ' 1'");
    (void)unsetenv("REDIS_DB");
    (void)unsetenv("GANTRY_REDIS_DB");
}

static char *printed(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    CHECK(out);
    print(out);
    (void)fclose(out);
    return text;
}

TEST(the_sample_file_says_the_defaults)
{
    UNUSED;
    scoped_text char *sample = printed(config_print_sample);
    for (char *at = sample; (at = strchr(at, '#'));
         at++) /* take the '#' before each setting away */
        if ((at == sample || at[-1] == '\n') && at[1] != ' ')
            memmove(at, at + 1, strlen(at));
    CHECK(strstr(sample, "\nstorage.root: /share/workflows\n"));
    scoped(config) config = NULL;
    CHECK_INT(load(&config, sample, USED_BY_ALL, NULL, NULL), 0);
    const struct settings *s = config_settings(config);
#define SETTING_TEXT(field, name, fallback, env, used, doc) CHECK_TEXT(s->field, fallback);
#define SETTING_WHOLE(field, name, fallback, least, most, env, used, doc) \
    CHECK_INT(s->field, fallback);
#define SETTING_SWITCH(field, name, fallback, env, used, doc) CHECK_INT(s->field, fallback);
    SETTINGS(SETTING_TEXT, SETTING_WHOLE, SETTING_SWITCH)
}

static void print_brokers_help(FILE *out)
{
    config_print_help(out, USED_BY_BROKER);
}

TEST(help_lists_what_the_program_reads_and_no_more)
{
    UNUSED;
    scoped_text char *help = printed(print_brokers_help);
    CHECK(strstr(help, "  --limits-batch=NUMBER "));
    CHECK(strstr(help, "default 256, environment GANTRY_LIMITS_BATCH\n"));
    CHECK(strstr(help, "  --broker-insecure[=true|false] "));
    CHECK(!strstr(help, "--redis-db"));
}

/* `gantry-broker --print-settings` prints what belongs there. */
TEST(the_operators_page_has_the_table_of_settings)
{
    UNUSED;
    static const char first[] = "<!-- settings -->\n";
    const char *path = SOURCE_FOLDER "/docs/operations.md";
    if (access(path, R_OK))
        skip();
    scoped_text char *page = scratch_read(path);
    scoped_text char *table = printed(config_print_table);
    char *start = strstr(page, first);
    CHECK(start);
    start += sizeof first - 1;
    char *end = strstr(start, "<!-- /settings -->");
    CHECK(end);
    *end = '\0';
    while (*start == '\n')
        start++;
    while (end > start + 1 && end[-1] == '\n' && end[-2] == '\n')
        *--end = '\0';
    CHECK_TEXT(start, table);
}

int main(void)
{
    scratch_enter("config_test.d");
    const struct CMUnitTest tests[] = {
        HOLDS(every_setting_has_its_default),
        HOLDS(an_empty_file_is_a_file),
        HOLDS(the_last_source_wins),
        HOLDS(the_extra_names_of_the_environment_work),
        HOLDS(another_programs_environment_is_not_read),
        HOLDS(a_switch_needs_no_value),
        HOLDS(a_file_may_hold_settings_of_other_programs),
        HOLDS(bounds_are_within),
        HOLDS(a_wrong_file_is_refused_with_its_line),
        HOLDS(a_file_that_is_no_yaml_is_refused),
        HOLDS(a_file_that_cannot_be_read_is_named),
        HOLDS(a_wrong_flag_is_named),
        HOLDS(a_wrong_environment_is_named),
        HOLDS(the_sample_file_says_the_defaults),
        HOLDS(help_lists_what_the_program_reads_and_no_more),
        HOLDS(the_operators_page_has_the_table_of_settings),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
