#pragma once
/* What the broker does from time to time: a line each in janitor.c's tick. */
#include "broker/broker.h"

/* 0 or -errno. */
int janitor_start(struct broker *b);
/* Fine when it was not started; its memory goes in the loop's next turn. */
void janitor_stop(struct broker *b);
