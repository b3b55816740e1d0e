#include "common/objects/wire.h"

#include "common/clock.h"
#include "common/objects/answer.h"
#include "common/objects/digest.h"
#include "common/objects/retry.h"
#include "common/scoped.h"
#include "common/status.h"
#include "common/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    ANSWER_TIMES = 10, /* a whole answer may take so many times objects.timeout_ms */
    SKEW_S = 300,      /* clocks that differ by more are worth a word */
    NAME_SHOWN = 200
};

struct exchange *exchange_new(struct wire *wire)
{
    struct exchange *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->easy = curl_easy_init();
    if (!self->easy) {
        free(self);
        return NULL;
    }
    self->wire = wire;
    self->next = wire->first;
    wire->first = self;
    return self;
}

void exchange_destroy(struct exchange **self_p)
{
    struct exchange *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    exchange_drop(self);
    struct exchange **link = &self->wire->first;
    while (*link != self)
        link = &(*link)->next;
    *link = self->next;
    curl_easy_cleanup(self->easy);
    curl_slist_free_all(self->lines);
    free(self->url);
    free(self->body);
    free(self);
}

void exchange_drop(struct exchange *self)
{
    if (self->state == EXCHANGE_RUNS)
        (void)curl_multi_remove_handle(self->wire->multi, self->easy);
    self->state = EXCHANGE_IDLE;
}

/* ---- what came of it ------------------------------------------------------------------------- */

void exchange_header(const struct exchange *self, const char *name, char *ret_text, size_t size)
{
    struct curl_header *header = NULL;
    ret_text[0] = '\0';
    if (curl_easy_header(self->easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK)
        (void)slice_copy(slice_of(header->value), ret_text, size);
}

void exchange_info(const struct exchange *self, struct object_info *ret_info)
{
    char text[128];
    unsigned char hash[DIGEST_HEX / 2];
    curl_off_t bytes = -1;
    struct object_info info = { 0 };
    (void)curl_easy_getinfo(self->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &bytes);
    info.bytes = bytes > 0 ? (uint64_t)bytes : 0;
    exchange_header(self, "ETag", text, sizeof text);
    answer_etag(text, info.etag);
    exchange_header(self, "Last-Modified", text, sizeof text);
    const time_t modified = curl_getdate(text, NULL);
    info.modified_ms = modified > 0 ? (int64_t)modified * 1000 : 0;
    exchange_header(self, "Content-Type", info.content_type, sizeof info.content_type);
    utf8_clean(info.content_type);
    exchange_header(self, "x-amz-meta-sha256", text, sizeof text);
    if (strlen(text) == DIGEST_HEX - 1 && digest_unhex(text, hash, sizeof hash))
        digest_hex(hash, sizeof hash, info.sha256);
    *ret_info = info;
}

struct slice exchange_body(const struct exchange *self)
{
    return slice_make(self->body ? self->body : "", self->body_size);
}

/* How far our clock is ahead of the store's, as its answer has it; 0: it does not say. */
static int64_t skew_s(const struct exchange *self)
{
    char text[64];
    exchange_header(self, "Date", text, sizeof text);
    const time_t date = text[0] ? curl_getdate(text, NULL) : -1;
    return date > 0 ? clock_wall_ms() / 1000 - (int64_t)date : 0;
}

static void say(struct exchange *self, const char *said)
{
    char name[NAME_SHOWN + 4];
    char clocks[96] = "";
    char tries[32] = "";
    const int64_t skew = self->http == 403 ? skew_s(self) : 0;
    (void)snprintf(name, sizeof name, "%s%s%s", self->ask.bucket ? self->ask.bucket : "",
                   self->ask.key ? "/" : "", self->ask.key ? self->ask.key : "");
    name[utf8_cut(name, NAME_SHOWN)] = '\0';
    if (skew > SKEW_S || skew < -SKEW_S)
        (void)snprintf(clocks, sizeof clocks, "; this machine's clock is %lld s %s the store's",
                       (long long)(skew > 0 ? skew : -skew), skew > 0 ? "ahead of" : "behind");
    if (self->tried > 1)
        (void)snprintf(tries, sizeof tries, " (%u tries)", self->tried);
    wire_say(self->wire, "%s %s at %s: %s%s%s", self->ask.method, name, self->wire->endpoint.text,
             said, clocks, tries);
    utf8_clean(self->wire->error);
}

static void say_refusal(struct exchange *self, const struct answer_page *page)
{
    char text[sizeof page->code + sizeof page->message + 64];
    const char *why = page->message;
    if (!why[0] && self->http == 403)
        why = "a wrong key, or not permitted"; /* HEAD is answered without a word */
    if (!why[0] && self->http == 404)
        why = "no such bucket or key";
    if (self->http >= 300 && self->http < 400)
        why = "the store sends us elsewhere: objects.endpoint or objects.region names another";
    (void)snprintf(text, sizeof text, "%ld%s%s%s%s", self->http, page->code[0] ? " " : "",
                   page->code, why[0] ? ": " : "", why);
    say(self, text);
}

/* An answer that came whole. */
static struct verdict judge_answer(struct exchange *self)
{
    struct answer_page page = { 0 };
    const bool good = self->http >= 200 && self->http < 300;
    if (good && !self->ask.late)
        return (struct verdict){ 0, false };
    const int r = self->full ? 0 : answer_read(NULL, exchange_body(self), &page, NULL, NULL);
    if (good && r) {
        say(self, "an answer that cannot be read");
        return (struct verdict){ r, false };
    }
    if (good && strcmp(page.root, "Error") != 0)
        return (struct verdict){ 0, false };
    (void)snprintf(self->code, sizeof self->code, "%s", page.code);
    say_refusal(self, &page);
    return good ? retry_late(self->code) : retry_answer(self->http, self->code);
}

static struct verdict judge(struct exchange *self, CURLcode code)
{
    if (self->endless)
        say(self, "an answer without end");
    if (self->cut && !self->full)
        return (struct verdict){ self->cut, false };
    if (self->heard > HEAD_BYTES_MAX) {
        say(self, "an answer whose head has no end");
        return (struct verdict){ STATUS_MALFORMED, false };
    }
    if (code == CURLE_OK && !self->headed) { /* libcurl takes half a head for a whole one */
        say(self, "the link broke off within an answer");
        return (struct verdict){ STATUS_UNAVAILABLE, true };
    }
    if (code == CURLE_OK || self->full)
        return judge_answer(self);
    say(self, self->why[0] ? self->why : curl_easy_strerror(code));
    (void)snprintf(self->wire->link, sizeof self->wire->link,
                   "the object store cannot be reached: %s", curl_easy_strerror(code));
    return retry_transfer(code);
}

/* ---- one try after the other ----------------------------------------------------------------- */

static void settle(struct exchange *self, struct verdict verdict)
{
    const uint32_t tries = self->ask.tries ? self->ask.tries : self->wire->tries;
    uint32_t random = 0;
    self->result = verdict.result;
    self->again = verdict.again;
    self->state = EXCHANGE_ENDED;
    if (!verdict.again || self->tried >= tries)
        return;
    (void)getrandom(&random, sizeof random, GRND_NONBLOCK);
    self->due_ms = clock_ms() + retry_wait_ms(self->tried, self->wish_s, random);
    self->state = EXCHANGE_WAITS;
}

void exchange_on_end(struct exchange *self, CURLcode code)
{
    char wish[16];
    (void)curl_multi_remove_handle(self->wire->multi, self->easy);
    (void)curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &self->http);
    exchange_header(self, "Retry-After", wish, sizeof wish);
    self->wish_s = strtoll(wish, NULL, 10); /* a date is 0 */
    settle(self, judge(self, code));
}

static void send_again(struct exchange *self)
{
    self->tried++;
    self->state = EXCHANGE_RUNS;
    const int r = exchange_send(self);
    if (r)
        settle(self, (struct verdict){ r, false });
}

static void give_up(struct exchange *self, const char *why)
{
    (void)curl_multi_remove_handle(self->wire->multi, self->easy);
    self->wish_s = 0;
    say(self, why);
    settle(self, (struct verdict){ STATUS_UNAVAILABLE, true });
}

void exchange_tick(struct exchange *self, int64_t now_ms)
{
    const int64_t timeout_ms = self->wire->timeout_ms;
    char why[96];
    if (self->state == EXCHANGE_WAITS && self->due_ms <= now_ms) {
        send_again(self);
    } else if (self->state == EXCHANGE_RUNS && now_ms - self->moved_ms > timeout_ms) {
        (void)snprintf(why, sizeof why, "no byte moved for %lld ms", (long long)timeout_ms);
        give_up(self, why);
    } else if (self->state == EXCHANGE_RUNS && !(self->ask.sink && self->headed) &&
               now_ms - self->asked_ms > ANSWER_TIMES * timeout_ms) {
        give_up(self, "an answer that does not come to its end");
    }
}

void exchange_begin(struct exchange *self, const struct ask *ask)
{
    self->ask = *ask;
    self->tried = 0;
    self->result = 0;
    if (!self->ask.sha256) {
        const int r = digest_sha256(ask->body, self->sha256);
        self->ask.sha256 = self->sha256;
        if (r) {
            settle(self, (struct verdict){ r, false });
            return;
        }
    }
    send_again(self);
}

int exchange_wait(struct exchange *self, const struct objects_watch *watch)
{
    while (self->state != EXCHANGE_ENDED) {
        const int r = watch_stops(watch) ? -ECANCELED : wire_turn(self->wire, INT32_MAX);
        if (r) {
            exchange_drop(self);
            return r;
        }
    }
    self->state = EXCHANGE_IDLE;
    return self->result;
}

int exchange_run(struct exchange *self, const struct ask *ask, const struct objects_watch *watch)
{
    if (self->wire->driving) /* a sink calls: the exchange may be the one that it is of */
        return -EDEADLK;
    exchange_begin(self, ask);
    return exchange_wait(self, watch);
}
