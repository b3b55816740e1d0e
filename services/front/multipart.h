#pragma once
/* multipart/form-data (RFC 7578) as it comes, in pieces of any size; strict. Pure: keeps no
 * content, only what one part says of itself. Not to be copied once it was begun. */
#include "common/slice.h"

enum { MULTIPART_BOUNDARY_MAX = 70, MULTIPART_HEAD_MAX = 4096, MULTIPART_PARTS_MAX = 16 };

enum multipart_event {
    MULTIPART_MORE, /* all that was given is read */
    MULTIPART_PART, /* a part begins: name, filename and type are its own */
    MULTIPART_DATA, /* a piece of its content */
    MULTIPART_END,  /* the last part has ended, and all of it */
    MULTIPART_WRONG /* wrong says what, and it stays so */
};

struct multipart {
    const char *wrong;
    char name[128];
    char filename[1025]; /* "": none was given */
    char type[128];      /* likewise */
    /* ---- its own ---- */
    int state;
    unsigned parts;
    size_t mark_size;
    size_t matched;    /* bytes of mark that came last, and may be content after all */
    struct slice owed; /* bytes of mark that turned out to be content */
    size_t head_size;
    char mark[4 + MULTIPART_BOUNDARY_MAX]; /* CR LF - - boundary */
    char head[MULTIPART_HEAD_MAX];
};

/* content_type: the request's header. False: it names no boundary. */
bool multipart_init(struct multipart *self, const char *content_type);
/* Reads on; *input becomes what is left of it. *ret_data: of DATA, at most data_max bytes, which is
 * not 0; it points into the input, or at self. */
enum multipart_event multipart_next(struct multipart *self, struct slice *input, size_t data_max,
                                    struct slice *ret_data);
/* Nothing follows: was it whole? */
bool multipart_whole(const struct multipart *self);
