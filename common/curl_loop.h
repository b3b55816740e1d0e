#pragma once
/* libcurl's transfers on a uv loop: any number at once, none of them blocks. */
#include <curl/curl.h>
#include <uv.h>

typedef struct curl_loop curl_loop_t;

/* A transfer has ended by itself, and still has to be removed. arg is its CURLOPT_PRIVATE. */
typedef void curl_loop_ended_fn(void *arg, CURLcode code);

/* NULL when out of memory. */
curl_loop_t *curl_loop_new(uv_loop_t *loop, curl_loop_ended_fn *ended);
/* Its transfers are removed before; memory goes in the loop's next turns. */
void curl_loop_destroy(curl_loop_t **self_p);

/* 0 or -ENOMEM. Nothing of it is called from within. */
int curl_loop_add(curl_loop_t *self, CURL *easy);
/* Not from within what libcurl calls for it. */
void curl_loop_remove(curl_loop_t *self, CURL *easy);
