#include "common/pack/self.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/status.h"
#include "common/utf8.h"

static const struct {
    const char *text;
    enum pack_format format;
} formats[] = {
    { "zip", PACK_ZIP }, { "tar.gz", PACK_TAR_GZ }, { "tgz", PACK_TAR_GZ }, { "targz", PACK_TAR_GZ }
};
static const char *const suffixes[] = { [PACK_ZIP] = ".zip", [PACK_TAR_GZ] = ".tar.gz" };
static const char *const levels[] = { [PACK_STORE] = "store",
                                      [PACK_FAST] = "fast",
                                      [PACK_DEFAULT] = "default",
                                      [PACK_MAXIMUM] = "maximum" };

bool pack_format_of(const char *text, enum pack_format *ret_format)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(text, formats[i].text) == 0) {
            *ret_format = formats[i].format;
            return true;
        }
    return false;
}

bool pack_level_of(const char *text, enum pack_level *ret_level)
{
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strcmp(text, levels[i]) == 0) {
            *ret_level = (enum pack_level)i;
            return true;
        }
    return false;
}

const char *pack_suffix(enum pack_format format)
{
    return suffixes[format];
}

bool pack_format_of_name(const char *name, enum pack_format *ret_format)
{
    const size_t size = strlen(name);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const size_t end = strlen(formats[i].text);
        if (size > end && name[size - end - 1] == '.' &&
            strcasecmp(name + size - end, formats[i].text) == 0) {
            *ret_format = formats[i].format;
            return true;
        }
    }
    return false;
}

static bool has_long_part(const char *name, size_t size)
{
    size_t part = 0;
    for (size_t i = 0; i < size; i++) {
        part = name[i] == '/' ? 0 : part + 1;
        if (part > NAME_MAX)
            return true;
    }
    return false;
}

const char *pack_name_wrong(struct slice name)
{
    const uint8_t *bytes = name.data;
    if (name.size > PACK_NAME_MAX || has_long_part(name.data, name.size))
        return "is too long a name";
    if (!utf8_is(name))
        return "is a name that is no UTF-8";
    for (size_t i = 0; i < name.size; i++) {
        if (bytes[i] < ' ' || bytes[i] == 0x7f)
            return "has a control character in its name";
        if (bytes[i] == '\\')
            return "has a backslash in its name, which some take for the end of a folder's";
    }
    return NULL;
}

int pack_says(char message[PACK_MESSAGE], int result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, PACK_MESSAGE, format, args);
    va_end(args);
    utf8_clean(message);
    return result;
}

int pack_says_result(char message[PACK_MESSAGE], int result)
{
    if (result == 0 || message[0])
        return result;
    return pack_says(message, result, "%s", result > 0 ? status_text(result) : strerror(-result));
}

int pack_locale_init(struct pack_locale *self)
{
    self->mine = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (!self->mine)
        return -errno;
    self->before = uselocale(self->mine);
    return 0;
}

void pack_locale_clear(struct pack_locale *self)
{
    if (!self->mine)
        return;
    (void)uselocale(self->before);
    freelocale(self->mine);
    self->mine = (locale_t)0;
}
