#include "tests/unit/test.h"

#include "common/objects/answer.h"
#include "common/scoped.h"
#include "common/status.h"

#include <stdio.h>

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

struct kept {
    struct answer_row rows[4];
    size_t count;
    int result; /* of every row */
};

static int keep(void *arg, const struct answer_row *row)
{
    struct kept *self = arg;
    if (self->count < 4)
        self->rows[self->count] = *row;
    self->count++;
    return self->result;
}

TEST(a_listing_is_a_page_of_rows)
{
    UNUSED;
    struct kept kept = { .count = 0 };
    struct answer_page page;
    const char *xml = HEAD
        "<ListBucketResult "
        "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix>a/</Prefix>"
        "<IsTruncated>true</IsTruncated><NextContinuationToken>to+ken</NextContinuationToken>"
        "<Contents><Key>a/%E4%B8%AD+x%2B</Key><LastModified>2026-01-31T08:00:00.123Z</LastModified>"
        "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>5000000000</"
        "Size><Owner><ID>Key</ID><Key>no</Key></Owner></Contents>"
        "<Contents><Key>a/z</Key><Size>0</Size></Contents><EncodingType>url</EncodingType></"
        "ListBucketResult>";
    CHECK_INT(answer_read("ListBucketResult", slice_of(xml), &page, keep, &kept), 0);
    CHECK(page.truncated && page.coded);
    CHECK_TEXT(page.next, "to+ken");
    CHECK_INT(kept.count, 2);
    CHECK_TEXT(kept.rows[0].key, "a/中 x+");
    CHECK_TEXT(kept.rows[0].etag, "d41d8cd98f00b204e9800998ecf8427e");
    CHECK_INT(kept.rows[0].bytes, 5000000000);
    CHECK_INT(kept.rows[0].modified_ms, 1769846400123);
    CHECK_TEXT(kept.rows[1].key, "a/z");
    CHECK_TEXT(kept.rows[1].etag, ""); /* not that of the row before it */
}

TEST(keys_that_were_not_encoded_stay_as_they_are)
{
    UNUSED;
    struct kept kept = { .count = 0 };
    struct answer_page page;
    CHECK_INT(answer_read(NULL,
                          SLICE("<ListBucketResult><Contents><Key>a+%20&amp;&#x4e2d;</Key></"
                                "Contents></ListBucketResult>"),
                          &page, keep, &kept),
              0);
    CHECK_TEXT(kept.rows[0].key, "a+%20&中");
    CHECK(!page.truncated);
}

TEST(an_error_has_a_code_and_a_message_that_fit_a_log)
{
    UNUSED;
    struct answer_page page;
    CHECK_INT(answer_read(NULL,
                          SLICE(" \n" HEAD "<Error><Code>NoSuchKey</Code><Message>It&#10;is &#9; "
                                "gone</Message><Key>k</Key></Error>"),
                          &page, NULL, NULL),
              0);
    CHECK_TEXT(page.root, "Error");
    CHECK_TEXT(page.code, "NoSuchKey");
    CHECK_TEXT(page.message, "It\nis \t gone");
}

TEST(parts_and_uploads_are_rows_too)
{
    UNUSED;
    struct kept kept = { .count = 0 };
    struct answer_page page;
    CHECK_INT(answer_read("ListPartsResult",
                          SLICE("<ListPartsResult><UploadId>u</UploadId><NextPartNumberMarker>7</"
                                "NextPartNumberMarker><Part>"
                                "<PartNumber>7</PartNumber><ETag>\"e\"</ETag><Size>5</Size></"
                                "Part></ListPartsResult>"),
                          &page, keep, &kept),
              0);
    CHECK_INT(kept.rows[0].part, 7);
    CHECK_TEXT(kept.rows[0].etag, "e");
    CHECK_TEXT(page.next, "7");
    CHECK_TEXT(page.upload, "u");

    kept.count = 0;
    CHECK_INT(
        answer_read(
            "ListMultipartUploadsResult",
            SLICE(
                "<ListMultipartUploadsResult><NextKeyMarker>k</"
                "NextKeyMarker><NextUploadIdMarker>n</NextUploadIdMarker>"
                "<Upload><Key>k</Key><UploadId>v</UploadId></Upload></ListMultipartUploadsResult>"),
            &page, keep, &kept),
        0);
    CHECK_TEXT(kept.rows[0].upload, "v");
    CHECK_TEXT(page.next, "k");
    CHECK_TEXT(page.next_upload, "n");
}

TEST(what_each_answers_ends_it)
{
    UNUSED;
    struct kept kept = { .result = STATUS_DENIED };
    struct answer_page page;
    CHECK_INT(answer_read(NULL, SLICE("<R><Error><Code>X</Code></Error><Error/></R>"), &page, keep,
                          &kept),
              STATUS_DENIED);
    CHECK_INT(kept.count, 1);
}

TEST(what_is_no_such_answer_is_malformed)
{
    UNUSED;
    static const char *const texts[] = {
        "",
        "junk",
        "<a>",
        "<a></b>",
        "<ListBucketResult>",
        "<!DOCTYPE a [<!ENTITY x \"y\">]><ListBucketResult>&x;</ListBucketResult>",
        "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><ListBucketResult/>",
        "<ListBucketResult>&x;</ListBucketResult>",
        "<Other/>",
        "<ListBucketResult><Contents><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Size>99999999999999999999999</Size></Contents></"
        "ListBucketResult>",
        "<ListBucketResult><Contents><Size>1x</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Part><PartNumber>10001</PartNumber></Part></ListBucketResult>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a%0</Key></Contents></"
        "ListBucketResult>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a%00</Key></Contents></"
        "ListBucketResult>",
        "<ListBucketResult><a><a><a><a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a></"
        "a></a></a></ListBucketResult>",
    };
    struct kept kept = { .count = 0 };
    struct answer_page page = { .root = "untouched" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK_INT(answer_read("ListBucketResult", slice_of(texts[i]), &page, keep, &kept),
                  STATUS_MALFORMED);
    CHECK_TEXT(page.root, "untouched");
}

TEST(a_text_has_a_bound)
{
    UNUSED;
    enum { SIZE = ANSWER_TEXT_MAX + 100 };
    scoped_text char *xml = malloc(SIZE);
    struct answer_page page;
    CHECK(xml);
    memset(xml, 'x', SIZE);
    memcpy(xml, "<R><NextMarker>", 15);
    memcpy(xml + SIZE - 17, "</NextMarker></R>", 17);
    CHECK_INT(answer_read(NULL, slice_make(xml, SIZE), &page, NULL, NULL), STATUS_MALFORMED);
}

TEST(times_are_read_to_the_millisecond_or_not_at_all)
{
    UNUSED;
    CHECK_INT(answer_time_ms("1970-01-01T00:00:01Z"), 1000);
    CHECK_INT(answer_time_ms("2026-01-31T08:00:00.123Z"), 1769846400123);
    CHECK_INT(answer_time_ms("2026-01-31T08:00:00.123456Z"), 1769846400000);
    CHECK_INT(answer_time_ms("yesterday"), 0);
    CHECK_INT(answer_time_ms(""), 0);
}

TEST(etags_lose_their_quotes)
{
    UNUSED;
    char etag[OBJECTS_ETAG_MAX];
    answer_etag("\"abc-2\"", etag);
    CHECK_TEXT(etag, "abc-2");
    answer_etag("abc", etag);
    CHECK_TEXT(etag, "abc");
    answer_etag("\"", etag);
    CHECK_TEXT(etag, "\"");
    answer_etag("", etag);
    CHECK_TEXT(etag, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_listing_is_a_page_of_rows),
        HOLDS(keys_that_were_not_encoded_stay_as_they_are),
        HOLDS(an_error_has_a_code_and_a_message_that_fit_a_log),
        HOLDS(parts_and_uploads_are_rows_too),
        HOLDS(what_each_answers_ends_it),
        HOLDS(what_is_no_such_answer_is_malformed),
        HOLDS(a_text_has_a_bound),
        HOLDS(times_are_read_to_the_millisecond_or_not_at_all),
        HOLDS(etags_lose_their_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
