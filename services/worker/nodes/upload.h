#pragma once
/* What nodes that upload a folder have in common: their inputs, and what they put. */
#include "services/worker/transfer.h"

/* Names of inputs; upload and remove are NULL where it is the node's very work. */
struct upload_inputs {
    const char *upload, *compress, *format, *level, *remove;
    bool fall_back; /* an archive that cannot be made is no failure: see fallback of the output */
};
/* Names of outputs; NULL: it has none such. */
struct upload_names {
    const char *folder; /* the local one's path; its address, once that was removed */
    const char *url, *archive, *files, *uploaded, *info, *fallback, *error;
};

/* Reads compress, format and level into put. 0, or INVALID, refused. */
int upload_read_archive(engine_t *engine, const struct upload_inputs *inputs,
                        struct transfer_put *put);
void upload_put_output(engine_t *engine, const struct upload_names *names,
                       const struct transfer_done *done);

/* Of a node that makes a folder and may upload it. */
struct upload_wish {
    bool upload, remove;
    struct transfer_put put;
};
/* 0, INVALID, or UNSUPPORTED (a store is wanted and there is none), refused. */
int upload_read(engine_t *engine, const struct upload_inputs *inputs, struct upload_wish *ret_wish);
struct upload_folder {
    const char *relative; /* in the attempt's folder, and in the task's */
    const char *base;     /* it is uploaded as {task_id}/{base}/... */
    uint64_t files;
};
/* The folder was made: uploads it if that is wished, hands it over unless it was to be removed, and
 * puts all of names. What fails at the store stands in error, and nothing is removed then. */
int upload_made(engine_t *engine, const struct upload_wish *wish, const struct upload_names *names,
                const struct upload_folder *made);
