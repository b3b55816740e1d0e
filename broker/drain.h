#pragma once
/* A broker that is to go: clients and workers are sent to the others of their lists, and no new
 * ones are taken. State services stay, so that answers still come. It may be taken back. */
#include "broker/broker.h"

/* DRAIN, by an operator. */
verb_fn drain_on_drain;
/* Is HELLO refused at this door now? */
bool drain_refuses(const struct door *door);
/* Sends those away who have nothing under way, and after a while everybody. */
void drain_tick(struct broker *b);
