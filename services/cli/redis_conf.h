#pragma once
/* The bytes of deploy/redis.conf, made at configure time. */
#include <stddef.h>

extern const unsigned char redis_conf[];
extern const size_t redis_conf_size;
