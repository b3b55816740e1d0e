#pragma once
/* What the handlers of tus 1.0 share. */
#include "services/front/files.h"

#define TUS_VERSION "1.0.0"
#define TUS_EXTENSIONS "creation,termination,checksum"
#define TUS_CHECKSUMS "sha1,sha256,md5"

/* The headers that each answer has; and the client speaks our version, else the request was
 * refused: 412. */
bool tus_begin(request_t *request);
/* The body of POST and PATCH answers, which have none. */
void tus_answer(request_t *request, int http);
/* The {id} of the path. False: there cannot be such an upload, and the request was refused: 404. */
bool tus_id(request_t *request, char ret_id[UPLOAD_ID_SIZE]);
