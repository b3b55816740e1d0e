#pragma once
/* The files of a folder, all beneath it, in the order of their names as bytes. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct folder_file {
    size_t at; /* of its relative name, see folder_list_name() */
    uint64_t bytes;
    bool there;        /* for who compares: another has one of this name and size, */
    char checksum[33]; /* with this MD5; "" not known */
};
struct folder_list {
    struct folder_file *items;
    size_t count;
    uint64_t bytes;
    char *names; /* one behind the other */
    size_t names_size, names_room;
};
void folder_list_clear(struct folder_list *self);

/* 0; STATUS_INVALID (no file in it), STATUS_UNSUPPORTED (a link, a socket...), STATUS_DENIED (a
 * folder that cannot be read), STATUS_TOO_LARGE (more than files_max), all with a sentence in
 * ret_why (size bytes); -errno. ret_list is zeroed by the caller and its own in any case. */
int folder_list_read(const char *folder, size_t files_max, struct folder_list *ret_list,
                     char *ret_why, size_t size);
/* 0 or -ENOMEM. What is added unordered is not found. */
int folder_list_add(struct folder_list *self, const char *name, uint64_t bytes);
/* The name of item index; borrowed until something is added. */
const char *folder_list_name(const struct folder_list *self, size_t index);
/* NULL: no such file. */
struct folder_file *folder_list_find(struct folder_list *self, const char *name);
