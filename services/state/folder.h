#pragma once
/* Removes a task's folder, for a thread that may block. */
#include "common/slice.h"

enum { FOLDER_MESSAGE_MAX = 256 };

/* What became of it. */
enum folder_fate { FOLDER_DELETED, FOLDER_MISSING, FOLDER_FAILED };

struct folder_result {
    enum folder_fate fate;
    bool retriable;                   /* it failed, and may not the next time */
    char message[FOLDER_MESSAGE_MAX]; /* unless it was deleted */
};

/* {root}/{id} and all beneath, and nothing else: a name that is no task id, or that is a link or no
 * folder, fails. */
void folder_remove(const char *root, struct slice id, struct folder_result *ret_result);
