#pragma once
/* Coming and going of peers, the same for all roles. */
#include "broker/broker.h"

verb_fn hello_on_hello;
verb_fn hello_on_ping;
verb_fn hello_on_bye;

/* The peer is gone: its parked claims end, a state service's requests go to others in backend_turn.
 */
void hello_forget(struct broker *b, struct peer **peer_p);
/* Its name for a log line; text has PEER_NAME bytes. */
enum { PEER_NAME = 129 };
const char *hello_name(const struct peer *peer, char text[PEER_NAME]);
