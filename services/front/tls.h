#pragma once
/* The certificate and its key, for libmicrohttpd. */
#include "common/settings.h"

#include <microhttpd.h>
#include <stdbool.h>

enum { TLS_ERROR = 512, TLS_OPTIONS = 4 };

struct tls {
    char *cert; /* PEM; both or none */
    char *key;
};

/* Reads the files of the settings, where there are any. 0; STATUS_INVALID: one without the other;
 * -errno; with a sentence. ret_tls is zeroed by the caller, and cleared always. */
int tls_load(const struct settings *settings, struct tls *ret_tls, char error[TLS_ERROR]);
void tls_clear(struct tls *self);
/* Fills the options, which borrow from self; answers the flags. */
unsigned tls_options(struct tls *self, struct MHD_OptionItem ret_options[TLS_OPTIONS]);
