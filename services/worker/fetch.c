#include "services/worker/fetch_self.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"

enum {
    SHA256_BYTES = 32,
    HEAD_MAX = 65536,
    BUFFER = 262144,
    PAUSE_FIRST_MS = 200,
    PAUSE_MAX_MS = 5000,
    PAUSE_SLICE_MS = 50
};

/* ---- what libcurl asks of a transfer --------------------------------------------------------- */

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct fetching *self = arg;
    const struct address_rule rule = { "downloads", self->row->allow, self->row->owned };
    if (purpose != CURLSOCKTYPE_IPCXN ||
        !address_allowed(&rule, slice_of(self->host), &address->addr, self->refusal))
        return CURL_SOCKET_BAD;
    self->opened = true;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Fewer bytes than came cut it off. */
static size_t on_head(const char *bytes, size_t one, size_t size, void *arg)
{
    struct fetching *self = arg;
    (void)bytes;
    (void)one;
    self->head += size;
    if (self->head > HEAD_MAX)
        self->result =
            fetch_says(self, STATUS_MALFORMED, "the head of %s's answer has no end", self->host);
    return self->result ? 0 : size;
}

static size_t on_body(const char *bytes, size_t one, size_t size, void *arg)
{
    struct fetching *self = arg;
    (void)one;
    self->moved_ms = clock_ms();
    if (!self->judged)
        self->result = fetch_judge(self);
    if (self->result == 0)
        self->result = fetch_take(self, bytes, size);
    return self->result ? 0 : size;
}

static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up)
{
    struct fetching *self = arg;
    (void)total, (void)now, (void)up_total, (void)up;
    if (self->row->stop && self->row->stop(self->row->arg))
        self->result = -ECANCELED;
    else if (clock_ms() - self->moved_ms > self->row->timeout_ms)
        self->result = fetch_says(self, STATUS_UNAVAILABLE, "%s sent no byte for %" PRId64 " ms",
                                  self->host, self->row->timeout_ms);
    return self->result != 0;
}

/* ---- one request ----------------------------------------------------------------------------- */

#define SET(option, value) (code = code ? code : curl_easy_setopt(self->easy, option, value))

static int set_request(struct fetching *self, struct curl_slist *headers)
{
    CURLcode code = CURLE_OK;
    SET(CURLOPT_URL, self->url);
    SET(CURLOPT_USERAGENT, "gantry/" GANTRY_VERSION);
    SET(CURLOPT_HTTPHEADER, headers);
    if (self->got > 0) {
        char range[32];
        (void)snprintf(range, sizeof range, "%" PRIu64 "-", self->got);
        SET(CURLOPT_RANGE, range);
    }
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a name's look-up that hangs is not waited for */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)self->row->timeout_ms);
    SET(CURLOPT_BUFFERSIZE, (long)BUFFER);
    SET(CURLOPT_ERRORBUFFER, self->error);
    return code ? -ENOMEM : 0;
}

static int set_hooks(struct fetching *self)
{
    CURLcode code = CURLE_OK;
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
    SET(CURLOPT_OPENSOCKETDATA, self);
    SET(CURLOPT_HEADERFUNCTION, on_head);
    SET(CURLOPT_HEADERDATA, self);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, self);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, self);
    SET(CURLOPT_NOPROGRESS, 0L);
    return code ? -ENOMEM : 0;
}

static int code_result(CURLcode code)
{
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_ISSUER_ERROR)
        return STATUS_DENIED;
    if (code == CURLE_URL_MALFORMAT)
        return STATUS_INVALID;
    if (code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_UNSUPPORTED_PROTOCOL ||
        code == CURLE_BAD_CONTENT_ENCODING)
        return STATUS_MALFORMED;
    return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : STATUS_UNAVAILABLE;
}

static int ended(struct fetching *self, CURLcode code)
{
    if (code == CURLE_OK && !self->judged)
        self->result = fetch_judge(self); /* of one without a body */
    if (self->result)
        return self->result;
    if (self->refusal[0] && !self->opened)
        return fetch_says(self, STATUS_DENIED, "%s", self->refusal);
    if (code)
        return fetch_says(self, code_result(code), "%s: %s", self->host,
                          self->error[0] ? self->error : curl_easy_strerror(code));
    if (self->total && self->got != self->total)
        return fetch_says(self, STATUS_UNAVAILABLE,
                          "%s broke off at %" PRIu64 " of %" PRIu64 " bytes", self->host, self->got,
                          self->total);
    return 0;
}

static int read_host(struct fetching *self)
{
    CURLU *parts = curl_url();
    curl_free(self->host);
    self->host = NULL;
    if (parts && curl_url_set(parts, CURLUPART_URL, self->url, 0) == CURLUE_OK)
        (void)curl_url_get(parts, CURLUPART_HOST, &self->host, 0);
    curl_url_cleanup(parts);
    return self->host ? 0 : fetch_says(self, STATUS_INVALID, "the address has no host");
}

static int request(struct fetching *self)
{
    struct curl_slist *headers = NULL;
    int r = read_host(self);
    if (r == 0 && self->got > 0 && !self->validator[0])
        r = fetch_begin_anew(self);
    if (r)
        return r;
    if (self->got > 0) {
        char condition[FETCH_VALIDATOR_MAX + 16];
        (void)snprintf(condition, sizeof condition, "If-Range: %s", self->validator);
        headers = curl_slist_append(NULL, condition);
        if (!headers)
            return -ENOMEM;
    }
    self->opened = self->judged = false;
    self->refusal[0] = self->error[0] = '\0';
    self->result = 0;
    self->head = 0;
    self->moved_ms = clock_ms();
    curl_easy_reset(self->easy);
    r = set_request(self, headers);
    if (r == 0)
        r = set_hooks(self);
    if (r == 0)
        r = ended(self, curl_easy_perform(self->easy));
    curl_slist_free_all(headers);
    return r;
}

/* ---- tries ----------------------------------------------------------------------------------- */

static int try_once(struct fetching *self)
{
    int r = FETCH_REDIRECTED;
    (void)snprintf(self->url, sizeof self->url, "%s", self->row->url);
    for (int i = 0; r == FETCH_REDIRECTED && i <= FETCH_REDIRECTS_MAX; i++)
        r = request(self);
    return r == FETCH_REDIRECTED
               ? fetch_says(self, STATUS_MALFORMED, "%s redirects more than %d times", self->host,
                            FETCH_REDIRECTS_MAX)
               : r;
}

static int pause_before(const struct fetching *self, uint32_t tries)
{
    int64_t left = PAUSE_FIRST_MS;
    for (uint32_t i = 1; i < tries && left < PAUSE_MAX_MS; i++)
        left *= 2;
    for (left = left < PAUSE_MAX_MS ? left : PAUSE_MAX_MS; left > 0; left -= PAUSE_SLICE_MS) {
        const struct timespec slice = { .tv_nsec = PAUSE_SLICE_MS * 1000000L };
        if (self->row->stop && self->row->stop(self->row->arg))
            return -ECANCELED;
        (void)nanosleep(&slice, NULL);
    }
    return 0;
}

static int run(struct fetching *self)
{
    self->digest = EVP_MD_CTX_new();
    self->easy = curl_easy_init();
    int r = self->digest && self->easy ? fetch_begin_anew(self) : -ENOMEM;
    if (r)
        return r;
    r = try_once(self);
    for (uint32_t tries = 1; r == STATUS_UNAVAILABLE && tries < self->row->tries; tries++) {
        r = pause_before(self, tries);
        if (r == 0)
            r = try_once(self);
    }
    return r;
}

static int finish(struct fetching *self, struct fetched *ret_fetched)
{
    unsigned char bytes[SHA256_BYTES];
    if (!EVP_DigestFinal_ex(self->digest, bytes, NULL))
        return -ENOMEM;
    ret_fetched->bytes = self->got;
    for (size_t i = 0; i < SHA256_BYTES; i++)
        (void)snprintf(ret_fetched->sha256 + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

/* The folder that the file shall lie in, and its name there. */
static int open_folder(const char *path, const char **ret_name)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    *ret_name = slash ? slash + 1 : path;
    if (slash && !slice_copy(slice_make(path, (size_t)(slash - path) + 1), folder, sizeof folder))
        return -ENAMETOOLONG;
    return paths_open_beneath(AT_FDCWD, folder, O_PATH | O_DIRECTORY);
}

static int fetch_into(struct fetching *self, struct fetched *ret_fetched)
{
    const char *name;
    scoped_fd int folder = open_folder(self->row->path, &name);
    if (folder < 0)
        return folder;
    scoped_fd int file = paths_open_beneath(folder, name, O_WRONLY | O_CREAT | O_EXCL);
    if (file < 0)
        return file;
    self->file = file;
    int r = run(self);
    if (r == 0)
        r = finish(self, ret_fetched);
    if (r)
        (void)unlinkat(folder, name, 0);
    curl_easy_cleanup(self->easy);
    curl_free(self->host);
    EVP_MD_CTX_free(self->digest);
    return r;
}

int fetch(const struct fetch_row *row, struct fetched *ret_fetched, char ret_message[FETCH_MESSAGE])
{
    struct fetching self = { .row = row, .message = ret_message };
    ret_message[0] = '\0';
    if (!url_valid(slice_of(row->url)))
        return fetch_says(&self, STATUS_INVALID, "the address " URL_RULE);
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return fetch_says(&self, -ENOMEM, "libcurl cannot start");
    int r = fetch_into(&self, ret_fetched);
    curl_global_cleanup();
    if (r == -ECANCELED || (r && !ret_message[0]))
        (void)fetch_says(&self, r, "%s", r > 0 ? status_text(r) : strerror(-r));
    return r;
}
