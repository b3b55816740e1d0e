#include "common/pack/pack.h"

#include <errno.h>

bool pack_format_of(const char *text, enum pack_format *ret_format)
{
    (void)text;
    (void)ret_format;
    return false;
}

bool pack_level_of(const char *text, enum pack_level *ret_level)
{
    (void)text;
    (void)ret_level;
    return false;
}

const char *pack_suffix(enum pack_format format)
{
    (void)format;
    return "";
}

bool pack_format_of_name(const char *name, enum pack_format *ret_format)
{
    (void)name;
    (void)ret_format;
    return false;
}

int pack_folder(const struct pack_row *row, struct pack_stats *ret_stats,
                char ret_message[PACK_MESSAGE])
{
    (void)row;
    (void)ret_stats;
    (void)ret_message;
    return -ENOSYS;
}

int unpack(const struct unpack_row *row, struct pack_stats *ret_stats,
           char ret_message[PACK_MESSAGE])
{
    (void)row;
    (void)ret_stats;
    (void)ret_message;
    return -ENOSYS;
}
