#pragma once
/* What the store answers in XML, read within bounds: no document type, no deep nesting, no endless
 * text. All its answers are pages of rows: Root/Field is of the page, Root/Row/Field of a row. */
#include "common/objects/objects.h"

enum { ANSWER_TEXT_MAX = 4096, ANSWER_CODE_MAX = 64, ANSWER_MESSAGE_MAX = 256 };

struct answer_row {
    char key[ANSWER_TEXT_MAX];
    char upload[OBJECTS_UPLOAD_MAX];
    char etag[OBJECTS_ETAG_MAX]; /* without quotes */
    char code[ANSWER_CODE_MAX];
    int64_t modified_ms;
    uint64_t bytes;
    uint32_t part;
};

struct answer_page {
    char root[ANSWER_CODE_MAX]; /* what kind of answer it is: "ListBucketResult", "Error" */
    char code[ANSWER_CODE_MAX]; /* of an Error, with its message */
    char message[ANSWER_MESSAGE_MAX];
    char upload[OBJECTS_UPLOAD_MAX];
    char etag[OBJECTS_ETAG_MAX];
    char next[ANSWER_TEXT_MAX]; /* how to ask for the page behind it */
    char next_upload[OBJECTS_UPLOAD_MAX];
    bool truncated; /* there is one */
    bool coded;     /* keys were percent-encoded; those of rows and next are decoded here */
};

/* Answers 0 to go on. */
typedef int answer_row_fn(void *arg, const struct answer_row *row);

/* root: what the answer must be, NULL: anything. each may be NULL. 0; STATUS_MALFORMED; what each
 * answered; -ENOMEM. ret_page is written only when it is 0. */
int answer_read(const char *root, struct slice xml, struct answer_page *ret_page,
                answer_row_fn *each, void *arg);

/* "2026-01-31T08:00:00.123Z" as milliseconds since 1970, 0: it is none. */
int64_t answer_time_ms(const char *text);
/* "\"abc\"" without its quotes; "" when it does not fit. */
void answer_etag(const char *text, char ret_etag[OBJECTS_ETAG_MAX]);
