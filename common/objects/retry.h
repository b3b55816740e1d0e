#pragma once
/* What an answer of the store means, which of them may be asked again, and when. Pure. */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

struct verdict {
    int result; /* 0, an enum status, or -errno */
    bool again; /* worth another try */
};

/* Of an answer by its HTTP status and its error code ("" when there is none). */
struct verdict retry_answer(long http, const char *code);
/* Of a 200 that says in its body that it failed after all: the code alone tells. */
struct verdict retry_late(const char *code);
/* Of a transfer that libcurl did not bring to its end. */
struct verdict retry_transfer(CURLcode code);
/* Before try number tried + 1 (the first has number 1): doubled each time, a half of it by chance
 * (random), so that those who fail together do not come back together; the store's own wish
 * (seconds, 0: none) goes before it. */
int64_t retry_wait_ms(uint32_t tried, int64_t wish_s, uint32_t random);
