// What goes over the wire, by the platforms' own types. make.py makes JSON schemas of it.
import type { HomeView, KnownBlock } from "@slack/types";
import type { BlockAction, EnvelopedEvent, SlashCommand } from "@slack/bolt";
import type { messagingApi, webhook } from "@line/bot-sdk";
import type { ApiMethods, Update } from "@grammyjs/types";
type Call<K extends keyof ApiMethods<never>> = NonNullable<Parameters<ApiMethods<never>[K]>[0]>;
type News = "update_id" | "message" | "edited_message" | "callback_query" | "my_chat_member";
export interface Wire {
  "slack.blocks": KnownBlock[];
  "slack.home": HomeView;
  "slack.block_actions": BlockAction;
  "slack.command": SlashCommand;
  "slack.event_callback": EnvelopedEvent;
  "line.push": messagingApi.PushMessageRequest;
  "line.reply": messagingApi.ReplyMessageRequest;
  "line.sent": messagingApi.PushMessageResponse;
  "line.quota": messagingApi.MessageQuotaResponse;
  "line.used": messagingApi.QuotaConsumptionResponse;
  "line.link": messagingApi.IssueLinkTokenResponse;
  "line.menu": messagingApi.RichMenuRequest;
  "line.webhook": webhook.CallbackRequest;
  "telegram.update": Pick<Update, News>;
  "telegram.sendMessage": Call<"sendMessage">;
  "telegram.editMessageText": Call<"editMessageText">;
  "telegram.answerCallbackQuery": Call<"answerCallbackQuery">;
  "telegram.setWebhook": Call<"setWebhook">;
  "telegram.getUpdates": Call<"getUpdates">;
}
