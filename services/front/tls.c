#include "services/front/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/status.h"

enum { FILE_MAX = 256 << 10 };

static char priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

static int read_text(const char *path, char **ret_text)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return -errno;
    char *text = calloc(1, FILE_MAX + 1);
    const size_t size = text ? fread(text, 1, FILE_MAX + 1, file) : 0;
    const int r = !text                          ? -ENOMEM
                  : ferror(file)                 ? -EIO
                  : size == 0 || size > FILE_MAX ? -EINVAL
                                                 : 0;
    (void)fclose(file);
    if (r)
        free(text);
    else
        *ret_text = text;
    return r;
}

static int load(const char *name, const char *path, char **ret_text, char error[TLS_ERROR])
{
    int r = read_text(path, ret_text);
    if (r)
        (void)snprintf(error, TLS_ERROR, "cannot read %s, %s: %s", name, path, strerror(-r));
    return r;
}

int tls_load(const struct settings *settings, struct tls *ret_tls, char error[TLS_ERROR])
{
    const bool cert = *settings->front_tls_cert, key = *settings->front_tls_key;
    if (!cert && !key)
        return 0;
    if (!cert || !key) {
        (void)snprintf(error, TLS_ERROR,
                       "front.tls_cert and front.tls_key go together: %s is empty",
                       cert ? "front.tls_key" : "front.tls_cert");
        return STATUS_INVALID;
    }
    int r = load("front.tls_cert", settings->front_tls_cert, &ret_tls->cert, error);
    return r ? r : load("front.tls_key", settings->front_tls_key, &ret_tls->key, error);
}

void tls_clear(struct tls *self)
{
    if (self->key)
        explicit_bzero(self->key, strlen(self->key));
    free(self->key);
    free(self->cert);
    *self = (struct tls){ 0 };
}

unsigned tls_options(struct tls *self, struct MHD_OptionItem ret_options[TLS_OPTIONS])
{
    size_t n = 0;
    if (self->key) {
        ret_options[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_CERT, 0, self->cert };
        ret_options[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_KEY, 0, self->key };
        ret_options[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_PRIORITIES, 0, priorities };
    }
    ret_options[n] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
    return self->key ? MHD_USE_TLS : 0;
}
