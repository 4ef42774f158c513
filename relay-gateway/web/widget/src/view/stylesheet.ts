// All of the chat's styles, in their order.
import base from "../styles/base.css";
import composer from "../styles/composer.css";
import corner from "../styles/corner.css";
import forms from "../styles/forms.css";
import ground from "../styles/ground.css";
import launcher from "../styles/launcher.css";
import messages from "../styles/messages.css";
import panel from "../styles/panel.css";

export const STYLES = [base, ground, launcher, corner, panel, messages, forms, composer];
