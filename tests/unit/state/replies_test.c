#include "tests/unit/test.h"

#include "services/state/replies.h"
#include "services/state/reply.h"

#include <stdlib.h>
#include <string.h>

struct house {
    redisReader *reader;
    struct replies replies;
};

static int open_house(void **state)
{
    struct house *house = calloc(1, sizeof *house);
    house->reader = redisReaderCreate();
    replies_attach(&house->replies, house->reader);
    *state = house;
    return 0;
}

static int close_house(void **state)
{
    struct house *house = *state;
    redisReaderFree(house->reader);
    replies_clear(&house->replies);
    free(house);
    return 0;
}

static void feed(struct house *house, const char *bytes)
{
    CHECK_INT(redisReaderFeed(house->reader, bytes, strlen(bytes)), REDIS_OK);
}

/* NULL: it is not whole yet. */
static redisReply *get(struct house *house)
{
    void *reply = NULL;
    CHECK_INT(redisReaderGetReply(house->reader, &reply), REDIS_OK);
    return reply;
}

static void end(struct house *house, redisReply *reply)
{
    house->reader->fn->freeObject(reply);
}

TEST(replies_of_every_kind_are_read)
{
    struct house *house = *state_;
    feed(house, "*6\r\n$3\r\nabc\r\n:-42\r\n$-1\r\n+OK\r\n*2\r\n:7\r\n$0\r\n\r\n*0\r\n-ERR no\r\n");
    redisReply *reply = get(house);
    CHECK_INT(reply->type, REDIS_REPLY_ARRAY);
    CHECK_INT(reply->elements, 6);
    CHECK_INT(reply->element[0]->type, REDIS_REPLY_STRING);
    CHECK_INT(reply->element[0]->len, 3);
    CHECK_TEXT(reply->element[0]->str, "abc");
    CHECK_INT(reply->element[1]->type, REDIS_REPLY_INTEGER);
    CHECK_INT(reply->element[1]->integer, -42);
    CHECK_INT(reply->element[2]->type, REDIS_REPLY_NIL);
    CHECK_INT(reply->element[3]->type, REDIS_REPLY_STATUS);
    CHECK_TEXT(reply->element[3]->str, "OK");
    CHECK_INT(reply->element[4]->elements, 2);
    CHECK_INT(reply->element[4]->element[0]->integer, 7);
    CHECK_TEXT(reply->element[4]->element[1]->str, "");
    CHECK_INT(reply->element[5]->elements, 0);
    end(house, reply);

    reply = get(house);
    CHECK_INT(reply->type, REDIS_REPLY_ERROR);
    CHECK_TEXT(reply->str, "ERR no");
    end(house, reply);
}

TEST(a_reply_may_come_in_parts_and_outgrow_a_piece)
{
    enum { TEXTS = 40, SIZE = 100000 };
    struct house *house = *state_;
    char *text = malloc(SIZE + 1);
    memset(text, 'x', SIZE);
    text[SIZE] = '\0';
    for (int round = 0; round < 3; round++) {
        feed(house, "*40\r\n");
        for (int i = 0; i < TEXTS; i++) {
            CHECK(!get(house));
            feed(house, "$100000\r\n");
            feed(house, text);
            feed(house, "\r\n");
        }
        redisReply *reply = get(house);
        CHECK_INT(reply->elements, TEXTS);
        for (int i = 0; i < TEXTS; i++)
            CHECK_TEXT(reply->element[i]->str, text);
        end(house, reply);
    }
    free(text);
}

TEST(memory_is_taken_over_by_the_next_reply)
{
    struct house *house = *state_;
    feed(house, "*2\r\n:1\r\n$1\r\na\r\n*2\r\n:2\r\n$1\r\nb\r\n");
    redisReply *first = get(house);
    end(house, first);
    redisReply *second = get(house);
    CHECK(first == second);
    CHECK_TEXT(second->element[1]->str, "b");
    end(house, second);
}

TEST(a_reader_may_end_in_the_middle_of_a_reply)
{
    struct house *house = *state_;
    feed(house, "*3\r\n:1\r\n");
    CHECK(!get(house));
}

#if HIREDIS_MAJOR >= 1
TEST(kinds_that_were_not_asked_for_are_replies_too)
{
    struct house *house = *state_;
    feed(house,
         "*5\r\n,1.5\r\n#t\r\n_\r\n(12345678901234567890\r\n%1\r\n+a\r\n:1\r\n,2.5\r\n#f\r\n");
    redisReply *reply = get(house);
    CHECK_INT(reply->elements, 5);
    CHECK_INT(reply->element[0]->type, REDIS_REPLY_DOUBLE);
    CHECK_INT(reply->element[1]->type, REDIS_REPLY_BOOL);
    for (size_t i = 0; i < reply->elements; i++) {
        CHECK_INT(reply_text(reply->element[i]).size, 0);
        CHECK_INT(reply_whole(reply->element[i]), 0);
    }
    end(house, reply);
    for (int i = 0; i < 2; i++) {
        reply = get(house);
        CHECK_INT(reply_whole(reply), 0);
        end(house, reply);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#if HIREDIS_MAJOR >= 1
        cmocka_unit_test_setup_teardown(kinds_that_were_not_asked_for_are_replies_too_holds,
                                        open_house, close_house),
#endif
        cmocka_unit_test_setup_teardown(replies_of_every_kind_are_read_holds, open_house,
                                        close_house),
        cmocka_unit_test_setup_teardown(a_reply_may_come_in_parts_and_outgrow_a_piece_holds,
                                        open_house, close_house),
        cmocka_unit_test_setup_teardown(memory_is_taken_over_by_the_next_reply_holds, open_house,
                                        close_house),
        cmocka_unit_test_setup_teardown(a_reader_may_end_in_the_middle_of_a_reply_holds, open_house,
                                        close_house),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
