#include "common/storage/storage.h"

#include <errno.h>

int storage_open(const char *root, struct slice id, bool make, int *ret_folder)
{
    (void)root;
    (void)id;
    (void)make;
    (void)ret_folder;
    return -ENOSYS;
}

int storage_temp_name(const char *suffix, char ret_name[STORAGE_TEMP_NAME])
{
    (void)suffix;
    (void)ret_name;
    return -ENOSYS;
}

int storage_temp_open(int folder, const char *suffix, char ret_name[STORAGE_TEMP_NAME],
                      int *ret_file)
{
    (void)folder;
    (void)suffix;
    (void)ret_name;
    (void)ret_file;
    return -ENOSYS;
}

int storage_hand_over(const char *from, const char *to)
{
    (void)from;
    (void)to;
    return -ENOSYS;
}

int storage_hand_over_new(const char *from, const char *to)
{
    (void)from;
    (void)to;
    return -ENOSYS;
}

int storage_usage(int folder, struct storage_usage *ret_usage)
{
    (void)folder;
    (void)ret_usage;
    return -ENOSYS;
}

void storage_remove(const char *root, struct slice id, struct storage_removal *ret_removal)
{
    (void)root;
    (void)id;
    (void)ret_removal;
}

int storage_empty_trash(const char *root, int64_t age_ms, uint64_t *ret_count)
{
    (void)root;
    (void)age_ms;
    (void)ret_count;
    return -ENOSYS;
}

int storage_space(const char *path, struct storage_space *ret_space)
{
    (void)path;
    (void)ret_space;
    return -ENOSYS;
}
