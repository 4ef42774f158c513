//! An operator's socket: what the operator does is carried out, and what concerns the operator is told.

use serde_json::{Map, Value};
use service::{ApiError, websocket::Socket};
use wire::{
    TenantId,
    fields::Fields,
    frames::{
        self, Role,
        limits::HELLO_TEXT_CHARS,
        operator::{Action, OperatorFrame},
    },
};

use super::relay::{Ended, Heard, hello, receive, send_text};
use crate::{
    extract::Acting,
    handling::Handling,
    inbox::{Audience, HeardNews, News, Seat},
    inbox_frames::{self, InboxFrame},
    notifier::{Listener, Signal},
    records::{
        conversations::{self, Conversation},
        entries, messages, queues,
    },
    replicas::{ConversationRef, ReplicaMessage},
    saying::{Said, say},
    state::Backend,
    store::unavailable,
    takeover::{Holder, Wish},
    taking_over::take_over,
    views::inbox::{Entry, HolderView, QueueCounts},
};

/// Entries that are read at once.
const PAGE: u64 = 50;

/// Characters of an avatar's URL.
const AVATAR_CHARS: usize = 2048;

/// One operator's socket.
struct Desk<'a> {
    backend: &'a Backend,
    tenant_id: TenantId,
    acting: Acting,
    seat: Seat,
    watched: Option<Watched>,
}

/// The conversation that the operator looks at.
struct Watched {
    conversation_id: String,
    listener: Listener,
    /// The newest entry that was sent, or was there before the operator looked.
    sent: String,
}

/// What woke the socket.
enum Woken {
    Frame(Map<String, Value>),
    /// There may be something new in the watched conversation.
    Entries,
    News(HeardNews),
}

/// Serves the socket until either side has a reason to close it.
pub(super) async fn serve(
    socket: &mut Socket,
    backend: &Backend,
    tenant_id: TenantId,
    operator_id: &str,
) -> Result<(), Ended> {
    let acting = read_hello(hello(socket).await?, operator_id)?;
    // Enters before it reads: so it hears of what is written in between.
    let seat = backend.inbox.enter(tenant_id, &acting.routing_keys);
    let tally = queues::tally(&backend.store.of(tenant_id), &acting.routing_keys).await?;
    let welcome = InboxFrame::Welcome {
        operator: HolderView::from(acting.operator.clone()),
        routing_keys: &acting.routing_keys,
        counts: QueueCounts::of(&tally, operator_id),
    };
    send_text(socket, welcome.to_json()).await?;
    let mut desk = Desk { backend, tenant_id, acting, seat, watched: None };
    loop {
        match desk.next(socket).await? {
            Woken::Frame(frame) => desk.answer(socket, frame).await?,
            Woken::Entries => {}
            Woken::News(news) => desk.tell(socket, news).await?,
        }
        desk.catch_up(socket).await?;
    }
}

fn read_hello(hello: Map<String, Value>, operator_id: &str) -> Result<Acting, Ended> {
    let mut fields = Fields::new(hello);
    let _ = fields.choice("type", &["hello"], "hello");
    let named = fields.text("operator_id", HELLO_TEXT_CHARS);
    let display_name = fields.text("display_name", HELLO_TEXT_CHARS);
    let avatar_url = fields.optional_text("avatar_url", AVATAR_CHARS);
    let routing_keys = fields.optional_texts("routing_keys", 100, HELLO_TEXT_CHARS);
    let wrong = Ended::Relay("hello is not of its form, or names another operator than the actor");
    // An empty list means every queue, so a list that is missing must not be taken for one.
    let (Some(routing_keys), Ok(()), true) = (routing_keys, fields.finish(), named == operator_id) else {
        return Err(wrong);
    };
    Ok(Acting { operator: Holder { operator_id: named, display_name, avatar_url }, routing_keys })
}

impl Desk<'_> {
    async fn next(&mut self, socket: &mut Socket) -> Result<Woken, Ended> {
        let watching = async {
            match &mut self.watched {
                Some(watched) => watched.listener.changed().await,
                None => std::future::pending::<Signal>().await,
            }
        };
        tokio::select! {
            heard = receive(socket) => Ok(match heard? {
                Heard::Frame(frame) => Woken::Frame(frame),
                Heard::News | Heard::Writing => Woken::Entries,
            }),
            _ = watching => Ok(Woken::Entries),
            news = self.seat.next() => Ok(Woken::News(news)),
        }
    }

    /// Does what a frame of the operator asks for.
    async fn answer(&mut self, socket: &mut Socket, frame: Map<String, Value>) -> Result<(), Ended> {
        let client_id = frames::client_id(&frame).map(str::to_owned);
        let done = match OperatorFrame::read(frame).map_err(ApiError::from) {
            Ok(frame) => self.act(frame).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(Some(answer)) => send_text(socket, answer).await,
            Ok(None) => Ok(()),
            Err(error) => send_text(socket, inbox_frames::error(&error, client_id)).await,
        }
    }

    /// Carries out a frame, and answers the frame to send.
    async fn act(&mut self, frame: OperatorFrame) -> Result<Option<String>, ApiError> {
        match frame {
            OperatorFrame::Watch { conversation_id: None } => {
                self.watched = None;
                self.seat.watch(&self.acting.operator, None);
                Ok(None)
            }
            OperatorFrame::Watch { conversation_id: Some(id) } => self.watch(id).await.map(Some),
            OperatorFrame::Typing { conversation_id } => self.typing(&conversation_id).await.map(|()| None),
            OperatorFrame::Read { conversation_id, message_id } => {
                self.read(&conversation_id, &message_id).await.map(|()| None)
            }
            OperatorFrame::Message { client_id, conversation_id, content, attachments } => {
                let uploader = format!("operator:{}", self.acting.operator.operator_id);
                let said = Said {
                    role: Role::Agent,
                    content: &content,
                    attachments,
                    quick_replies: Vec::new(),
                    client_id: Some(&client_id),
                    operator_id: Some(&self.acting.operator.operator_id),
                    uploader: Some(&uploader),
                };
                let may_say = |conversation: &Conversation| self.acting.may_answer(conversation);
                let message = say(self.backend, self.tenant_id, &conversation_id, said, may_say).await?;
                let ack = InboxFrame::Ack { client_id: &client_id, message_id: Some(&message.id), conversation: None };
                Ok(Some(ack.to_json()))
            }
            OperatorFrame::Claim(action) => self.carry_out(action, Wish::Claim).await.map(Some),
            OperatorFrame::Release(action) => self.carry_out(action, Wish::Release).await.map(Some),
            OperatorFrame::HandBack(action) => self.carry_out(action, Wish::HandBack).await.map(Some),
            OperatorFrame::Resolve(action) => self.carry_out(action, Wish::Resolve).await.map(Some),
            OperatorFrame::Reopen(action) => self.carry_out(action, Wish::Reopen).await.map(Some),
        }
    }

    async fn carry_out(&self, action: Action, wish: Wish) -> Result<String, ApiError> {
        let Action { client_id, conversation_id } = action;
        let may_see = |conversation: &Conversation| self.acting.may_see(conversation);
        let wished = (&wish, &self.acting.operator);
        let conversation = take_over(self.backend, self.tenant_id, &conversation_id, wished, may_see).await?;
        let conversation = Some(conversation.into());
        Ok(InboxFrame::Ack { client_id: &client_id, message_id: None, conversation }.to_json())
    }

    /// A conversation that the operator may see.
    async fn visible(&self, id: &str) -> Result<Conversation, ApiError> {
        let conversation = conversations::find(&self.backend.store.of(self.tenant_id), id).await?;
        self.acting.may_see(&conversation)?;
        Ok(conversation)
    }

    async fn watch(&mut self, id: String) -> Result<String, ApiError> {
        // Listens before it reads: so it hears of what is written in between.
        let listener = self.backend.notifier.listen(&id);
        let row = self.visible(&id).await?.row;
        let frame = InboxFrame::Watching { conversation_id: &id, last_entry_id: &row.last_entry_id }.to_json();
        let conversation = ConversationRef { conversation_id: id.clone(), routing_key: row.routing_key };
        self.seat.watch(&self.acting.operator, Some(conversation));
        self.watched = Some(Watched { conversation_id: id, listener, sent: row.last_entry_id });
        Ok(frame)
    }

    /// Shows that the operator writes: to those who look at the conversation, and to the visitor where the operator has it.
    async fn typing(&self, id: &str) -> Result<(), ApiError> {
        let conversation = self.visible(id).await?;
        let to_visitor = conversation.handling == Handling::Assigned && self.acting.may_answer(&conversation).is_ok();
        let (tenant_id, conversation_id, routing_key) = (self.tenant_id, id.to_owned(), conversation.row.routing_key);
        let (role, operator) = (Role::Agent, Some((&self.acting.operator).into()));
        let conversation = ConversationRef { conversation_id, routing_key };
        self.backend.tell(&ReplicaMessage::Typing { tenant_id, conversation, role, operator, to_visitor });
        Ok(())
    }

    async fn read(&self, id: &str, message_id: &str) -> Result<(), ApiError> {
        self.visible(id).await?;
        let rows = self.backend.store.of(self.tenant_id);
        messages::find(&rows, id, message_id).await.map_err(unavailable)?.ok_or_else(messages::not_found)?;
        queues::set_read_up_to(&rows, id, &self.acting.operator.operator_id, message_id).await
    }

    /// Tells what concerns the operator.
    async fn tell(&self, socket: &mut Socket, news: HeardNews) -> Result<(), Ended> {
        let HeardNews::News(news) = news else { return send_text(socket, InboxFrame::Resync.to_json()).await };
        match news {
            News::Missed => send_text(socket, InboxFrame::Resync.to_json()).await,
            News::Counts { routing_keys, tally } if *routing_keys == *self.acting.routing_keys => {
                let counts = QueueCounts::of(&tally, &self.acting.operator.operator_id);
                send_text(socket, InboxFrame::Counts { counts }.to_json()).await
            }
            News::Counts { .. } => Ok(()),
            News::About { routing_key, conversation_id, frame, audience } => {
                let is_concerned = match audience {
                    Audience::Everybody => true,
                    Audience::Onlookers => self.seat.watched() == Some(&conversation_id),
                };
                if is_concerned && self.acting.sees(routing_key.as_deref()) {
                    send_text(socket, frame.to_string()).await
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Sends what is new in the watched conversation, in order.
    async fn catch_up(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        let Some(watched) = &mut self.watched else { return Ok(()) };
        let rows = self.backend.store.of(self.tenant_id);
        loop {
            let new =
                entries::after(&rows, &watched.conversation_id, &watched.sent, PAGE).await.map_err(unavailable)?;
            let Some(newest) = new.last() else { return Ok(()) };
            watched.sent = newest.id().to_owned();
            for entry in new {
                let (conversation_id, message) = (watched.conversation_id.as_str(), Entry::from(entry));
                send_text(socket, InboxFrame::Message { conversation_id, message }.to_json()).await?;
            }
        }
    }
}
