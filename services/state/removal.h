#pragma once
/* What FORGET removes besides the record: a task's folders and its objects. For a thread that may
 * block. */
#include "common/settings.h"
#include "common/storage/storage.h"

struct removal {
    struct storage_removal folders; /* {storage.root}/{id} and {storage.local}/videos/{id} */
    struct storage_removal objects; /* whose keys begin with {id}/ */
};

/* known: there was a record; forced: runs of it may be uploading still, for as long as it takes
 * their workers to hear of it. What was not, or may not yet be, removed of the objects stays
 * findable: an empty folder is left where the task's was. */
void removal_run(const struct settings *settings, struct slice id, bool known, bool forced,
                 struct removal *ret_removal);
/* None of it was there. */
bool removal_missing(const struct removal *self);
