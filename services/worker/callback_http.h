#pragma once
/* POSTs of callbacks: libcurl's transfers on the loop. Every address is judged when it is connected
 * to, after DNS, so that no name can lead where its owner said it does not. No redirect is
 * followed, no proxy used, no connection used twice. */
#include "common/slice.h"

#include <uv.h>

typedef struct poster poster_t;
typedef struct post post_t;

enum post_outcome {
    POST_ANSWERED, /* status says what with */
    POST_UNHEARD,  /* nobody there, no answer in time, TLS, an answer that cannot be read, ... */
    POST_REFUSED   /* by us: all that the name stands for are addresses it may not go to */
};

struct post_end {
    enum post_outcome outcome;
    long status;             /* HTTP's; 0: none */
    const char *message;     /* of UNHEARD and REFUSED: a sentence */
    const char *retry_after; /* the header, or NULL */
    struct slice answer;     /* the first bytes of its body */
};
/* Called once, from the loop, unless the post was destroyed before. What end refers to lasts for
 * the call; the post is gone behind it. */
typedef void post_done_fn(void *arg, const struct post_end *end);

struct post_row {
    const char *url;
    const char *const *headers; /* "Name: value"; ends with NULL */
    const char *user_agent;
    struct slice body;  /* copied, as the headers are */
    const char *allow;  /* see address_listed(); borrowed until the end */
    bool owned;         /* by a user: private addresses are not for them */
    int64_t timeout_ms; /* from the name's look-up to the last byte */
    post_done_fn *done;
    void *arg;
};

/* NULL when out of memory. */
poster_t *poster_new(uv_loop_t *loop);
/* Its posts are destroyed before; memory goes in the loop's next turns. */
void poster_destroy(poster_t **self_p);

/* 0, STATUS_INVALID (no URL) or -ENOMEM; done comes later, never at once. */
int post_begin(poster_t *poster, const struct post_row *row, post_t **ret_post);
/* Cuts it off: done is not called any more. */
void post_destroy(post_t **self_p);
