#include "services/front/schemas.h"

#include <string.h>

#define STRINGS "{\"type\":\"string\"}"
#define TEXT(name) "\"" name "\":{\"type\":\"string\"}"
#define TEXT_OR_NULL(name) "\"" name "\":{\"type\":[\"string\",\"null\"]}"
#define WHOLE_OR_NULL(name) "\"" name "\":{\"type\":[\"integer\",\"null\"],\"minimum\":0}"
#define OBJECT(name) "\"" name "\":{\"type\":\"object\"}"
#define IS_OBJECT(required, ...) \
    "{\"type\":\"object\",\"required\":[" required "],\"properties\":{" __VA_ARGS__ "}}"
/* clang-format off */

const struct schema schemas[] = {
    { "Error", IS_OBJECT("\"detail\"", TEXT("detail")) },
    { "Health", IS_OBJECT("\"status\"", "\"status\":{\"const\":\"ok\"}") },
    { "Ready", IS_OBJECT("\"status\"", "\"status\":{\"const\":\"ready\"}") },
    { "Document", "{\"type\":\"object\",\"description\":\"OpenAPI 3.1\"}" },
    { "TaskSubmit",
      IS_OBJECT("\"task_name\"",
          "\"task_name\":{\"type\":\"string\",\"pattern\":\"^[^.]+\\\\.[^.]+$\","
              "\"description\":\"service.node\"},"
          TEXT_OR_NULL("task_id") ","
          "\"callback\":{\"type\":[\"string\",\"null\"],\"format\":\"uri\"},"
          "\"input_data\":{\"type\":\"object\",\"description\":\"values may be "
              "${{ stages.STAGE.output.FIELD }}\"},"
          "\"reuse\":{\"enum\":[\"name\",\"input\",\"never\",null],\"default\":\"name\"},"
          "\"force\":{\"type\":[\"boolean\",\"null\"],\"description\":\"true: reuse never\"},"
          "\"priority\":{\"enum\":[\"normal\",\"high\",\"low\",null]},"
          WHOLE_OR_NULL("timeout_ms") "," WHOLE_OR_NULL("delay_ms") ","
          WHOLE_OR_NULL("schedule_to_start_ms") "," WHOLE_OR_NULL("schedule_to_close_ms")) },
    { "TaskAccepted",
      IS_OBJECT("\"task_id\",\"status\",\"message\"",
          TEXT("task_id") "," "\"status\":{\"enum\":[\"pending\",\"completed\"]}," TEXT("message") ","
          "\"reuse_info\":{\"$ref\":\"#/components/schemas/ReuseInfo\"},"
          "\"result\":{\"$ref\":\"#/components/schemas/Context\"}") },
    { "ReuseInfo",
      IS_OBJECT("\"reuse_hit\",\"task_name\"",
          "\"reuse_hit\":{\"type\":\"boolean\"}," TEXT("task_name") "," TEXT("source") ","
          TEXT("cached_at") "," "\"state\":{\"const\":\"pending\"}") },
    { "Context",
      IS_OBJECT("\"workflow_id\",\"stages\"",
          TEXT("workflow_id") "," TEXT("create_at") "," OBJECT("input_params") ","
          TEXT("shared_storage_path") ","
          "\"stages\":{\"type\":\"object\",\"additionalProperties\":"
              "{\"$ref\":\"#/components/schemas/Stage\"}},"
          TEXT_OR_NULL("error")) },
    { "Stage",
      IS_OBJECT("\"status\"",
          "\"status\":{\"enum\":[\"PENDING\",\"RUNNING\",\"SUCCESS\",\"SKIPPED\",\"FAILED\",\"CANCELLED\"]},"
          OBJECT("input_params") "," OBJECT("output") "," TEXT_OR_NULL("error") ","
          "\"duration\":{\"type\":\"number\",\"description\":\"seconds\"}") },
    { "TaskStatus",
      IS_OBJECT("\"task_id\",\"status\"",
          TEXT("task_id") ","
          "\"status\":{\"enum\":[\"pending\",\"running\",\"completed\",\"failed\",\"cancelled\"]},"
          TEXT("message") ",\"result\":{\"type\":[\"object\",\"null\"]},"
          "\"minio_files\":{\"type\":[\"array\",\"null\"],\"items\":{\"$ref\":\"#/components/schemas/File\"}},"
          TEXT("create_at") "," TEXT("created_at") "," TEXT("updated_at") "," TEXT_OR_NULL("callback_status")) },
    { "File",
      IS_OBJECT("\"name\",\"url\",\"type\"",
          TEXT("name") "," TEXT("url") ","
          "\"type\":{\"enum\":[\"video\",\"audio\",\"subtitle\",\"text\",\"data\",\"image\",\"unknown\"]},"
          "\"size\":{\"type\":[\"integer\",\"null\"]}") },
    { "TaskRetry", IS_OBJECT("", TEXT_OR_NULL("task_name")) },
    { "TaskRetried",
      IS_OBJECT("\"task_id\",\"original_task_id\",\"status\",\"message\"",
          TEXT("task_id") "," TEXT("original_task_id") "," TEXT("status") "," TEXT("message")) },
    { "TaskCancelled", IS_OBJECT("\"task_id\",\"status\",\"message\"", TEXT("task_id") "," TEXT("status") "," TEXT("message")) },
    { "TaskDelete", IS_OBJECT("", "\"force\":{\"type\":\"boolean\",\"default\":false}") },
    { "TaskDeleted",
      IS_OBJECT("\"status\",\"results\",\"timestamp\"",
          "\"status\":{\"enum\":[\"success\",\"partial_failed\",\"failed\"]},"
          "\"results\":{\"type\":\"array\",\"items\":" IS_OBJECT("\"resource\",\"status\"",
              "\"resource\":{\"enum\":[\"local_directory\",\"redis\",\"minio\"]},"
              "\"status\":{\"enum\":[\"deleted\",\"skipped\",\"failed\"]},"
              TEXT("message") ",\"retriable\":{\"type\":\"boolean\"}") "},"
          "\"warnings\":{\"type\":\"array\",\"items\":" STRINGS "}," TEXT("timestamp")) },
    { "SupportedTasks",
      IS_OBJECT("\"supported_tasks\",\"total_count\"",
          "\"supported_tasks\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"array\",\"items\":" STRINGS "}},"
          "\"total_count\":{\"type\":\"integer\"}," TEXT("description") ","
          "\"nodes\":{\"type\":\"object\",\"description\":\"by name: available, doc, inputs, outputs, key\"}") },
    { "TasksHealth",
      IS_OBJECT("\"status\"",
          "\"status\":{\"const\":\"healthy\"}," TEXT("service") "," TEXT("timestamp") ","
          "\"tasks\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}") },
    { "FileUpload",
      IS_OBJECT("\"file\",\"file_path\"",
          "\"file\":{\"type\":\"string\",\"contentMediaType\":\"application/octet-stream\"},"
          TEXT("file_path") "," TEXT("bucket")) },
    { "FileStored",
      IS_OBJECT("\"file_path\",\"bucket\",\"download_url\",\"size\",\"uploaded_at\",\"content_type\"",
          TEXT("file_path") "," TEXT("bucket") ","
          "\"download_url\":{\"type\":\"string\",\"description\":\"good for 24 hours\"},"
          "\"size\":{\"type\":\"integer\"}," TEXT("uploaded_at") "," TEXT("content_type") "," TEXT("sha256") ","
          TEXT("task_id")) },
    { "UploadProgress",
      IS_OBJECT("\"upload_id\",\"offset\",\"size\",\"status\",\"progress\"",
          TEXT("upload_id") "," "\"offset\":{\"type\":\"integer\"},\"size\":{\"type\":\"integer\"},"
          "\"status\":{\"enum\":[\"uploading\",\"storing\",\"completed\",\"failed\"]},"
          "\"progress\":{\"type\":\"number\"}," TEXT("file_path") "," TEXT("bucket") "," TEXT("download_url") ","
          TEXT("sha256") "," TEXT("detail")) },
    { "FileLink", IS_OBJECT("\"download_url\",\"expires_at\"", TEXT("download_url") "," TEXT("expires_at")) },
    { "FileDeleted",
      IS_OBJECT("\"file_path\",\"bucket\",\"status\"",
          TEXT("file_path") "," TEXT("bucket") ",\"status\":{\"enum\":[\"deleted\",\"skipped\"]}") },
    { "DirectoryDeleted",
      IS_OBJECT("\"directory_path\",\"bucket\",\"status\",\"deleted_count\"",
          TEXT("directory_path") "," TEXT("bucket") ",\"status\":{\"enum\":[\"deleted\",\"skipped\"]},"
          "\"deleted_count\":{\"type\":\"integer\"}") },
    { 0 },
};
/* clang-format on */

json_t *schema_load(const char *name)
{
    for (const struct schema *row = schemas; row->name; row++)
        if (strcmp(row->name, name) == 0)
            return json_loads(row->text, JSON_REJECT_DUPLICATES, NULL);
    return NULL;
}
