#include "common/config.h"

#include <inttypes.h>
#include <string.h>

#include "common/setting_row.h"

/* The section of "storage.root" is "storage"; a name without a dot is a section of its own. */
static size_t section_size(const char *name)
{
    return strcspn(name, ".");
}

static bool new_section(const struct setting_row *row)
{
    if (row == setting_rows)
        return true;
    size_t size = section_size(row->name);
    return size != section_size(row[-1].name) || memcmp(row->name, row[-1].name, size) != 0;
}

void config_print_help(FILE *out, unsigned used_by)
{
    for (const struct setting_row *row = setting_rows; row < setting_rows + SETTING_ROWS; row++) {
        if (!(row->used_by & used_by))
            continue;
        static const char *const takes[] = { "=TEXT", "=NUMBER", "[=true|false]" };
        char flag[2 * SETTING_NAME];
        char name[SETTING_NAME];
        char text[SETTING_NAME];
        (void)snprintf(flag, sizeof flag, "--%s%s", setting_flag_name(row, name), takes[row->kind]);
        (void)fprintf(out, "  %-38s %s\n", flag, row->doc);
        const char *value = setting_default(row, text);
        (void)fprintf(out, "  %-38s   default %s, environment %s%s%s\n", "",
                      *value ? value : "empty", setting_env_name(row, name), row->env ? " or " : "",
                      row->env ? row->env : "");
    }
}

static void print_range(FILE *out, const struct setting_row *row)
{
    if (row->kind == SETTING_IS_WHOLE)
        (void)fprintf(out, "%" PRId64 " to %" PRId64, row->least, row->most);
    else
        (void)fputs(row->kind == SETTING_IS_SWITCH ? "true or false" : "text", out);
}

/* Quoted when it would not be read back as it stands, such as "" or "{gantry1}". */
static void print_value(FILE *out, const char *value)
{
    bool plain = *value && !strpbrk(value, "{}[],&*#?|<>=!%@`\"'") && !strstr(value, ": ");
    (void)fprintf(out, plain ? "%s" : "\"%s\"", value);
}

void config_print_sample(FILE *out)
{
    (void)fputs(
        "# Settings of Gantry. Every line is optional and shows its default: take the '#' away\n"
        "# to change it. The environment and the flags of a program win over this file.\n",
        out);
    for (const struct setting_row *row = setting_rows; row < setting_rows + SETTING_ROWS; row++) {
        char text[SETTING_NAME];
        (void)fprintf(out, "%s# %s (", new_section(row) ? "\n" : "", row->doc);
        print_range(out, row);
        (void)fprintf(out, ")\n#%s: ", row->name);
        print_value(out, setting_default(row, text));
        (void)fputc('\n', out);
    }
}

static void print_users(FILE *out, unsigned used_by)
{
    static const struct {
        unsigned bit;
        const char *name;
    } users[] = {
        { USED_BY_BROKER, "broker" }, { USED_BY_STATE, "state" },
        { USED_BY_WORKER, "worker" }, { USED_BY_CLI, "gantry" },
        { USED_BY_UP, "gantry up" },  { USED_BY_FRONT, "gantry-front" },
    };
    const char *comma = "";
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        if (!(used_by & users[i].bit))
            continue;
        (void)fprintf(out, "%s%s", comma, users[i].name);
        comma = ", ";
    }
}

static void print_cell(FILE *out, const char *text)
{
    for (; *text; text++)
        (void)fprintf(out, *text == '|' ? "\\%c" : "%c", *text);
}

void config_print_table(FILE *out)
{
    (void)fputs("| setting | default | allowed | environment | read by | what it is |\n"
                "|---|---|---|---|---|---|\n",
                out);
    for (const struct setting_row *row = setting_rows; row < setting_rows + SETTING_ROWS; row++) {
        char text[SETTING_NAME];
        char name[SETTING_NAME];
        const char *value = setting_default(row, text);
        (void)fprintf(out, "| `%s` | ", row->name);
        (void)fprintf(out, *value ? "`%s`" : "empty", value);
        (void)fputs(" | ", out);
        print_range(out, row);
        (void)fprintf(out, " | `%s`", setting_env_name(row, name));
        if (row->env)
            (void)fprintf(out, ", `%s`", row->env);
        (void)fputs(" | ", out);
        print_users(out, row->used_by);
        (void)fputs(" | ", out);
        print_cell(out, row->doc);
        (void)fputs(" |\n", out);
    }
}
