#pragma once
/* The state services' side: who is asked, what is asked again, what becomes of the answers. */
#include "broker/broker.h"

/* By verb: what a state service may say. */
extern verb_fn *const backend_says[VERB_END];

/* Asks a state service; its answer goes to asker (none: nobody wants it). 0: the body was
 * taken. Else a refusal with b->error filled, STATUS_BUSY or STATUS_UNAVAILABLE, and the body may
 * be gone. */
int backend_ask(struct broker *b, enum route_payer payer, struct peer_ref asker,
                const struct header *header, zmq_msg_t *body);

/* To be called after every event: asks others what lost state services had not answered, and sends
 * the claims that have earned a try. */
void backend_turn(struct broker *b);

/* 0, or STATUS_BUSY with b->error filled. */
int backend_join(struct broker *b, struct peer *peer);
/* It answers no more; the caller removes the peer. */
void backend_lose(struct broker *b, const struct peer *peer);

/* PINGs every state service, so that one that died is missed at once. */
void backend_ping(struct broker *b);
/* Refuses what is unanswered for too long. */
void backend_expire(struct broker *b);
