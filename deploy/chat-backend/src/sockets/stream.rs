//! One socket's place in a conversation: what was sent on it, and what must be sent next.

use sea_orm::ConnectionTrait;
use serde_json::{Map, Value};
use service::{ApiError, websocket::Socket};
use wire::{
    frames::{ClientFrame, Message, Operator, Rating, Role, ServerFrame, limits::WELCOME_MESSAGES},
    time::WireTime,
};

use super::{
    history::newest_before,
    relay::{Ended, Heard, receive, send},
    visitor::Visitor,
};
use crate::{
    answers_email,
    feedback::judge,
    handling::Handling,
    notifier::{Listener, Signal},
    rating::rate,
    records::{choices, conversations, feedback, messages, waits},
    replicas::{ConversationRef, ReplicaMessage},
    saying::{Said, say},
    state::Backend,
    store::{OfTenant, unavailable},
};

/// Messages that are read at once.
const PAGE: u64 = WELCOME_MESSAGES as u64;

/// One socket's place in a conversation.
pub(super) struct ConversationStream<'a> {
    backend: &'a Backend,
    visitor: &'a Visitor,
    conversation_id: String,
    /// Who answers, as it was last said.
    handling: Handling,
    /// The person who answers, as it was last said.
    operator: Option<Operator>,
    /// The visitor's rating, as it was last said.
    rating: Option<Rating>,
    /// The visitor's address for answers, as it was last said.
    email: Option<String>,
    /// How much of the visitor's feedback was told: a count.
    feedback: i64,
    /// That the visitor has turned to another conversation.
    turn: Option<Turn>,
    /// The queue it is in.
    routing_key: Option<String>,
    /// The newest message that was in `welcome`.
    welcomed: String,
    /// The newest message that was sent, or acknowledged.
    sent: String,
    /// Said on this socket, and not acknowledged yet: the message's id and the client's.
    own: Vec<(String, String)>,
    /// Everything after this message was sent again.
    resumed: Option<String>,
}

impl<'a> ConversationStream<'a> {
    /// A place before every message: the visitor was welcomed without a conversation.
    pub(super) fn from_the_start(backend: &'a Backend, visitor: &'a Visitor, conversation_id: String) -> Self {
        Self {
            backend,
            visitor,
            conversation_id,
            handling: visitor.handling(),
            operator: None,
            rating: None,
            email: None,
            feedback: 0,
            turn: None,
            routing_key: None,
            welcomed: String::new(),
            sent: String::new(),
            own: Vec::new(),
            resumed: None,
        }
    }

    /// Welcomes the visitor with the newest messages. `client_id` is that of the frame that asked for the conversation.
    pub(super) async fn welcome(
        socket: &mut Socket,
        backend: &'a Backend,
        visitor: &'a Visitor,
        (conversation_id, client_id): (String, Option<String>),
    ) -> Result<Self, Ended> {
        let rows = backend.store.of(visitor.tenant_id);
        let conversation = conversations::find(&rows, &conversation_id).await?;
        let (history, complete) = newest_before(&rows, &conversation_id, "", PAGE).await?;
        let newest = history.last().map(|message| message.id.clone()).unwrap_or_default();
        let (handling, operator) = (conversation.handling, conversation.shown_operator());
        let row = &conversation.row;
        let expected_wait_s =
            waits::expected_s(&rows, handling, row.routing_key.as_deref()).await.map_err(unavailable)?;
        let (rating, email) = (conversation.rating_since_resolved(), conversation.row.answers_email);
        let welcome = ServerFrame::Welcome {
            client_id,
            session_id: visitor.session,
            conversation_id: Some(conversation_id.clone()),
            status: handling.status(),
            operator: operator.clone(),
            history,
            complete: Some(complete),
            read_up_to: conversation.row.read_up_to,
            may_rate: true,
            rating: rating.clone(),
            may_leave_email: backend.mails.are_sent(),
            email: email.clone(),
            expected_wait_s,
            may_open: true,
        };
        send(socket, &welcome).await?;
        Ok(Self {
            backend,
            visitor,
            conversation_id,
            handling,
            operator,
            rating,
            email,
            feedback: conversation.row.feedback_count,
            // The visitor may have turned to another one since this one was found.
            turn: conversation.row.left_for.is_some().then(Turn::default),
            routing_key: conversation.row.routing_key,
            welcomed: newest.clone(),
            sent: newest,
            own: Vec::new(),
            resumed: None,
        })
    }

    /// Says once that the visitor has turned to another conversation.
    pub(super) fn take_turn(&mut self) -> Option<Turn> {
        self.turn.take()
    }

    /// Waits for a frame, or for news in the database.
    pub(super) async fn next(&self, socket: &mut Socket, listener: &mut Listener) -> Result<Heard, Ended> {
        tokio::select! {
            heard = receive(socket) => heard,
            signal = listener.changed() => Ok(match signal {
                Signal::Changed => Heard::News,
                Signal::Writing => Heard::Writing,
            }),
        }
    }

    /// Does what a frame of the visitor asks for.
    pub(super) async fn answer(&mut self, socket: &mut Socket, frame: Map<String, Value>) -> Result<(), Ended> {
        let client_id = wire::frames::client_id(&frame).map(str::to_owned);
        match self.act(socket, frame).await {
            Ok(()) => Ok(()),
            Err(Failed::Ended(ended)) => Err(ended),
            Err(Failed::Refused(error)) => send(socket, &error.frame(client_id)).await,
        }
    }

    async fn act(&mut self, socket: &mut Socket, frame: Map<String, Value>) -> Result<(), Failed> {
        match wire::frames::read(frame).map_err(ApiError::from)? {
            ClientFrame::Message { client_id, content, attachments, conversation_id } => {
                let (role, client) = (Role::Visitor, Some(client_id.as_str()));
                let uploader = format!("visitor:{}", self.visitor.session);
                let said = Said {
                    role,
                    content: &content,
                    attachments,
                    quick_replies: Vec::new(),
                    client_id: client,
                    operator_id: None,
                    uploader: Some(&uploader),
                };
                let place = self.visitor.place_of(self.backend, conversation_id, &self.conversation_id).await?;
                if place == self.conversation_id && self.handling == Handling::Bot {
                    send(socket, &ServerFrame::Typing { role: Role::Bot }).await?;
                }
                let message = say(self.backend, self.visitor.tenant_id, &place, said, |_| Ok(())).await?;
                if message.conversation_id == self.conversation_id && message.id > self.sent {
                    // `catch_up` acknowledges it, in the order of ids. If it were acknowledged here, a client that resumes after it
                    // could miss an earlier message of somebody else.
                    self.own.push((message.id, client_id));
                    Ok(())
                } else {
                    let (message_id, conversation_id) = (message.id, Some(message.conversation_id));
                    let created_at = WireTime::from_unix_ms(message.created_at);
                    Ok(send(socket, &ServerFrame::Ack { client_id, message_id, conversation_id, created_at }).await?)
                }
            }
            ClientFrame::Read { message_id } => {
                self.expect_message(&message_id).await?;
                let rows = self.rows();
                conversations::set_read_up_to(&rows, &self.conversation_id, &message_id).await.map_err(unavailable)?;
                let (tenant_id, conversation_id) = (self.visitor.tenant_id, self.conversation_id.clone());
                self.backend.tell(&ReplicaMessage::Read { tenant_id, conversation_id });
                Ok(())
            }
            ClientFrame::Resume { after } => {
                self.expect_message(&after).await?;
                Ok(self.resume(socket, after).await?)
            }
            ClientFrame::History { before, limit } => {
                self.expect_message(&before).await?;
                let limit = u64::from(limit);
                let (messages, complete) = newest_before(&self.rows(), &self.conversation_id, &before, limit).await?;
                Ok(send(socket, &ServerFrame::History { messages, complete }).await?)
            }
            ClientFrame::Rate { score, comment, .. } => {
                let (backend, id) = (self.backend, &self.conversation_id);
                let rating = rate(backend, self.visitor.tenant_id, id, (score, comment.as_deref())).await?;
                self.rating = Some(rating.clone());
                Ok(send(socket, &ServerFrame::Rating { rating: Some(rating) }).await?)
            }
            ClientFrame::LeaveEmail { email, .. } => {
                let (backend, id) = (self.backend, &self.conversation_id);
                let email = answers_email::leave(backend, self.visitor.tenant_id, id, &email).await?;
                self.email = Some(email.clone());
                Ok(send(socket, &ServerFrame::Email { email }).await?)
            }
            ClientFrame::Feedback { message_id, feedback, .. } => {
                let Visitor { tenant_id, user_id, .. } = self.visitor;
                let kept = judge(self.backend, *tenant_id, user_id, (&message_id, feedback)).await?;
                // `catch_up` tells what is new in this conversation.
                if kept.as_ref() != Some(&self.conversation_id) {
                    send(socket, &ServerFrame::Feedback { message_id, feedback }).await?;
                }
                Ok(())
            }
            ClientFrame::Conversations => {
                let conversations = choices::list(&self.rows(), &self.visitor.user_id).await.map_err(unavailable)?;
                Ok(send(socket, &ServerFrame::Conversations { conversations }).await?)
            }
            ClientFrame::OpenConversation { client_id, conversation_id } => {
                self.visitor.turn_to(self.backend, conversation_id).await?;
                self.turn = Some(Turn { client_id: Some(client_id) });
                Ok(())
            }
            ClientFrame::Typing => {
                let (conversation_id, routing_key) = (self.conversation_id.clone(), self.routing_key.clone());
                let (tenant_id, conversation) =
                    (self.visitor.tenant_id, ConversationRef { conversation_id, routing_key });
                let (role, operator) = (Role::Visitor, None);
                self.backend.tell(&ReplicaMessage::Typing {
                    tenant_id,
                    conversation,
                    role,
                    operator,
                    to_visitor: false,
                });
                Ok(())
            }
        }
    }

    async fn expect_message(&self, id: &str) -> Result<(), ApiError> {
        let found = messages::find(&self.rows(), &self.conversation_id, id).await.map_err(unavailable)?;
        found.map(drop).ok_or_else(messages::not_found)
    }

    /// Sends again the messages after `after`, up to the newest one of the welcome. Newer messages were sent on this socket, or
    /// `catch_up` will send them. A second call stops where the first one began.
    async fn resume(&mut self, socket: &mut Socket, after: String) -> Result<(), Ended> {
        let up_to = self.resumed.clone().unwrap_or_else(|| self.welcomed.clone());
        let mut from = after.clone();
        while from < up_to {
            let messages = self.read(&from, Some(&up_to)).await?;
            let Some(newest) = messages.last() else { break };
            from.clone_from(&newest.id);
            for message in messages {
                send(socket, &ServerFrame::Message { message }).await?;
            }
        }
        if after < up_to {
            self.resumed = Some(after);
        }
        Ok(())
    }

    /// Sends what is new, in order. If somebody else answers now, says so before their first message.
    pub(super) async fn catch_up(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        let mut is_first = true;
        loop {
            // The messages are read before who answers: so nobody's message is sent before it is known that they answer.
            let messages = self.read(&self.sent, None).await?;
            if messages.is_empty() && !is_first {
                return Ok(());
            }
            is_first = false;
            let News { mut status, others } = self.news().await?;
            for message in messages {
                if message.role != Role::Visitor
                    && let Some(status) = status.take()
                {
                    send(socket, &status).await?;
                }
                self.sent.clone_from(&message.id);
                let own = self.own.iter().position(|(id, _)| *id == message.id);
                let frame = match own.map(|place| self.own.swap_remove(place)) {
                    Some((message_id, client_id)) => {
                        let conversation_id = Some(self.conversation_id.clone());
                        ServerFrame::Ack { client_id, message_id, conversation_id, created_at: message.created_at }
                    }
                    None => ServerFrame::Message { message },
                };
                send(socket, &frame).await?;
            }
            for frame in status.into_iter().chain(others) {
                send(socket, &frame).await?;
            }
        }
    }

    /// What is not as it was said last.
    async fn news(&mut self) -> Result<News, Ended> {
        let conversation = conversations::find(&self.rows(), &self.conversation_id).await?;
        let (operator, rating) = (conversation.shown_operator(), conversation.rating_since_resolved());
        // The status does not say why a person is awaited, so a change of the reason alone is none.
        let is_new = conversation.handling.status() != self.handling.status() || operator != self.operator;
        (self.handling, self.operator) = (conversation.handling, operator.clone());
        self.routing_key.clone_from(&conversation.row.routing_key);
        let status = if is_new {
            let (rows, queue) = (self.rows(), self.routing_key.as_deref());
            let expected_wait_s = waits::expected_s(&rows, self.handling, queue).await.map_err(unavailable)?;
            Some(ServerFrame::Status { status: self.handling.status(), operator, expected_wait_s })
        } else {
            None
        };
        if conversation.row.left_for.is_some() {
            self.turn.get_or_insert_default();
        }
        let mut others = self.feedback_since(conversation.row.feedback_count).await?;
        if rating != self.rating {
            self.rating.clone_from(&rating);
            others.push(ServerFrame::Rating { rating });
        }
        if let Some(email) = conversation.row.answers_email
            && self.email.as_ref() != Some(&email)
        {
            self.email = Some(email.clone());
            others.push(ServerFrame::Email { email });
        }
        Ok(News { status, others })
    }

    /// What the visitor has said of answers, on this socket or another one, until the conversation's feedback has this count.
    async fn feedback_since(&mut self, count: i64) -> Result<Vec<ServerFrame>, Ended> {
        if count == self.feedback {
            return Ok(Vec::new());
        }
        let told = std::mem::replace(&mut self.feedback, count);
        let said = feedback::since(&self.rows(), &self.conversation_id, told).await.map_err(unavailable)?;
        Ok(said.into_iter().map(|(message_id, feedback)| ServerFrame::Feedback { message_id, feedback }).collect())
    }

    async fn read(&self, after: &str, up_to: Option<&str>) -> Result<Vec<Message>, Ended> {
        let found = messages::between(&self.rows(), &self.conversation_id, after, up_to, PAGE).await;
        Ok(found.map_err(unavailable)?.into_iter().map(Message::from).collect())
    }

    fn rows(&self) -> OfTenant<'a, impl ConnectionTrait + use<'a>> {
        self.backend.store.of(self.visitor.tenant_id)
    }
}

/// The visitor's turn to another conversation.
#[derive(Default)]
pub(super) struct Turn {
    /// The `client_id` of the frame that asked for it; `None` if that came on another socket.
    pub(super) client_id: Option<String>,
}

/// What a socket must hear beside messages.
struct News {
    /// Who answers now.
    status: Option<ServerFrame>,
    others: Vec<ServerFrame>,
}

/// Why a frame was not acted on.
enum Failed {
    /// The visitor is told.
    Refused(ApiError),
    Ended(Ended),
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<Ended> for Failed {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}
