/* What answers come to: heads that are judged, bytes that go into the file. */
#include "services/worker/fetch_self.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/file.h"
#include "common/status.h"
#include "common/utf8.h"

int fetch_says(struct fetching *self, int result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(self->message, FETCH_MESSAGE, format, args);
    va_end(args);
    utf8_clean(self->message);
    return result;
}

/* ---- the file -------------------------------------------------------------------------------- */

int fetch_begin_anew(struct fetching *self)
{
    self->got = self->total = 0;
    self->validator[0] = '\0';
    if (ftruncate(self->file, 0) || lseek(self->file, 0, SEEK_SET) < 0)
        return -errno;
    return EVP_DigestInit_ex(self->digest, EVP_sha256(), NULL) ? 0 : -ENOMEM;
}

static int too_large(struct fetching *self, uint64_t bytes)
{
    return fetch_says(self, STATUS_TOO_LARGE,
                      "%s has %s %" PRIu64 " bytes; the limit is %" PRIu64 " (unpack.bytes_max)",
                      self->host, bytes > self->row->bytes_max ? "a file of" : "more than", bytes,
                      self->row->bytes_max);
}

int fetch_take(struct fetching *self, const char *bytes, size_t size)
{
    if (size > self->row->bytes_max - self->got)
        return too_large(self, self->row->bytes_max);
    if (!EVP_DigestUpdate(self->digest, bytes, size))
        return -ENOMEM;
    self->got += size;
    const int r = file_write(self->file, slice_make(bytes, size));
    if (r)
        return fetch_says(self, r, "%s cannot be written: %s", self->row->path, strerror(-r));
    if (self->row->moved)
        self->row->moved(self->row->arg, self->got, self->total);
    return 0;
}

/* ---- the head of an answer ------------------------------------------------------------------- */

/* "" when there is no such header, or it has no room. */
static void header_of(const struct fetching *self, const char *name, char *ret_text, size_t size)
{
    struct curl_header *header = NULL;
    if (curl_easy_header(self->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK ||
        !slice_copy(slice_of(header->value), ret_text, size))
        ret_text[0] = '\0';
}

/* What tells whether it is the same the next time; a weak ETag does not. */
static void keep_validator(struct fetching *self)
{
    header_of(self, "ETag", self->validator, sizeof self->validator);
    if (strncmp(self->validator, "W/", 2) == 0 || !self->validator[0])
        header_of(self, "Last-Modified", self->validator, sizeof self->validator);
}

static int judge_whole(struct fetching *self)
{
    curl_off_t length = -1;
    int r = fetch_begin_anew(self); /* also of one that was to go on: it is another by now */
    if (r)
        return r;
    (void)curl_easy_getinfo(self->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length > 0 && (uint64_t)length > self->row->bytes_max)
        return too_large(self, (uint64_t)length);
    self->total = length > 0 ? (uint64_t)length : 0;
    keep_validator(self);
    return 0;
}

/* The number at *at and the mark behind it, which is stepped over. */
static bool read_number(const char **at, char mark, uint64_t *ret_number)
{
    char *end = NULL;
    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *ret_number = strtoull(*at, &end, 10);
    if (errno || *end != mark)
        return false;
    *at = end + (mark != '\0');
    return true;
}

/* "bytes 100-199/200": it must go on where the file ends, to the same end. */
static int judge_rest(struct fetching *self)
{
    static const char unit[] = "bytes ";
    char text[FETCH_VALIDATOR_MAX] = "";
    const char *at = text + sizeof unit - 1;
    uint64_t first;
    uint64_t last;
    uint64_t total;
    header_of(self, "Content-Range", text, sizeof text);
    if (self->got > 0 && strncmp(text, unit, sizeof unit - 1) == 0 &&
        read_number(&at, '-', &first) && read_number(&at, '/', &last) &&
        read_number(&at, '\0', &total) && first == self->got && last + 1 == total &&
        (self->total == 0 || self->total == total)) {
        self->total = total;
        return 0;
    }
    self->validator[0] = '\0'; /* the next time it is asked for as a whole */
    return fetch_says(self, STATUS_UNAVAILABLE, "%s goes on elsewhere than it was broken off",
                      self->host);
}

/* url becomes what Location says, as seen from url. False: there is none, or it leads nowhere. */
static bool follow(struct fetching *self)
{
    char location[URL_MAX + 1];
    char *target = NULL;
    header_of(self, "Location", location, sizeof location);
    CURLU *parts = curl_url();
    bool good = parts && location[0] &&
                curl_url_set(parts, CURLUPART_URL, self->url, 0) == CURLUE_OK &&
                curl_url_set(parts, CURLUPART_URL, location, CURLU_URLENCODE) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_URL, &target, 0) == CURLUE_OK;
    good = good && url_valid(slice_of(target)) &&
           slice_copy(slice_of(target), self->url, sizeof self->url);
    curl_url_cleanup(parts);
    curl_free(target);
    return good;
}

static int judge_redirect(struct fetching *self, long status)
{
    const bool secure = strncasecmp(self->url, "https:", 6) == 0;
    if (!follow(self))
        return fetch_says(self, STATUS_MALFORMED,
                          "%s answered %ld and no address that can be gone to", self->host, status);
    if (secure && strncasecmp(self->url, "https:", 6) != 0)
        return fetch_says(self, STATUS_DENIED, "%s redirects from https to http", self->host);
    return FETCH_REDIRECTED;
}

static int refused_with(long status)
{
    if (status == 401 || status == 402 || status == 403 || status == 407 || status == 451)
        return STATUS_DENIED;
    if (status == 404 || status == 410)
        return STATUS_NOT_FOUND;
    if (status == 408 || status == 416 || status == 425 || status == 429 || status >= 500)
        return STATUS_UNAVAILABLE;
    return STATUS_MALFORMED;
}

int fetch_judge(struct fetching *self)
{
    long status = 0;
    (void)curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status);
    self->judged = true;
    if (status == 200)
        return judge_whole(self);
    if (status == 206)
        return judge_rest(self);
    if (status == 301 || status == 302 || status == 303 || status == 307 || status == 308)
        return judge_redirect(self, status);
    if (status == 416)
        self->validator[0] = '\0';
    return fetch_says(self, refused_with(status), "%s answered %ld", self->host, status);
}
